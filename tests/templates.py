#!/usr/bin/env python3
"""Chats as the program renders them against jinja2, on the templates of tests/data/templates and of model files.

  templates.py RENDER
"""
import glob
import os
import subprocess
import sys
import tempfile

import gguf
import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

DATA = os.path.join(os.path.dirname(os.path.realpath(__file__)), "data", "templates")
BOS, USER, ANSWER, NEXT, SYSTEM = "<s>", "Who wrote it?\nTell me.", "It was {her}.", "  And 'when'?", "Be brief."
LLAMA2 = """{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}
{%- else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}
{%- if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}
{%- else %}{% set content = message['content'] %}{% endif %}
{%- if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}
{%- elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"""
ZEPHYR = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""
DATED = """{{- bos_token }}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + "26 Jul 2024" + "\\n\\n" }}
{%- if messages[0]['role'] == 'system' %}
    {{- messages[0]['content'] | trim }}
    {%- set messages = messages[1:] %}
{%- endif %}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}"""


def rendered(template, messages, bos, eos):
    """As transformers does it."""

    def raise_exception(text):
        raise jinja2.exceptions.TemplateError(text)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = raise_exception
    chat = [{"role": role, "content": content} for role, content in messages]
    return environment.from_string(template).render(messages=chat, add_generation_prompt=True, bos_token=bos, eos_token=eos)


def ours(program, path, *system):
    done = subprocess.run([program, path, USER, NEXT, *system], stdout=subprocess.PIPE, check=True)
    name, first, then, no_system, _ = done.stdout.decode().split("\0")
    return name, first, then, no_system == "1"


def check(program, path, template, name, bos, eos):
    got_name, first, then, no_system = ours(program, path)
    assert name.startswith(got_name), f"{name} is taken for {got_name}"
    want = rendered(template, [("user", USER)], bos, eos)
    assert first == want, f"{name}:\n{first!r}\n{want!r}"
    if not no_system:
        _, with_system, _, _ = ours(program, path, SYSTEM)
        want = rendered(template, [("system", SYSTEM), ("user", USER)], bos, eos)
        assert with_system == want, f"{name}, system:\n{with_system!r}\n{want!r}"
    chat = rendered(template, [("user", USER), ("assistant", ANSWER), ("user", NEXT)], bos, eos)
    assert chat.startswith(first) and chat.endswith(then), f"{name}, next:\n{chat!r}\n{first!r}\n{then!r}"
    answer = chat[len(first) : len(chat) - len(then)]
    assert answer.startswith((ANSWER, " " + ANSWER)), f"{name}, answer:\n{answer!r}"
    print(f"{name}: {got_name}{', no system message' if no_system else ''}, an answer ends in {answer.split(ANSWER)[1]!r}")


def toy(path, template):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([BOS.encode(), b"</s>", b"a", b"b", b"ab"])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(0)
    writer.add_chat_template(template)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def field(reader, key):
    part = reader.fields.get(key)
    return part.parts[part.data[0]] if part else None


def main():
    program, models = sys.argv[1], os.environ.get("PILOTFISH_MODELS") or "models"
    templates = {"llama2": LLAMA2, "zephyr": ZEPHYR, "llama3-dated": DATED}
    for path in sorted(glob.glob(os.path.join(DATA, "*.jinja"))):
        with open(path, encoding="utf-8") as f:
            templates[os.path.basename(path)[: -len(".jinja")]] = f.read()
    assert len(templates) >= 15
    with tempfile.TemporaryDirectory() as folder:
        for name, template in templates.items():
            path = os.path.join(folder, name + ".gguf")
            toy(path, template)
            if name.startswith("unknown"):  # near a form, and not it
                assert subprocess.run([program, path, USER, NEXT]).returncode == 1, name
                continue
            eos = "<\uff5cend\u2581of\u2581sentence\uff5c>" if name == "deepseek" else "</s>"
            check(program, path, template, name, BOS, eos)
    for name in ("SmolLM2-135M-Instruct.Q4_1.gguf", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"):
        path = os.path.join(models, name)
        template = bytes(field(gguf.GGUFReader(path), "tokenizer.chat_template")).decode()
        check(program, path, template, "chatml of " + os.path.basename(path), "", "<|im_end|>")


main()
