#!/usr/bin/env bash
# The chat templates of tests/data/templates and of the real models: templates.sh RENDER
folder=${PILOTFISH_MODELS:-models}
exec python3 "$(dirname "$0")/templates.py" "$1" "$folder"/SmolLM2*.gguf "$folder"/*0.5b*.gguf
