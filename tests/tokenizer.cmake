# Text: characters, pieces, merges, whole tokenizers and chat templates. Real models come from PILOTFISH_MODELS or
# ./models.
pilotfish_test(test_utf8 test_utf8.c LIBS pf_proto)
pilotfish_test(test_split test_split.c LIBS pf_coordinator)
pilotfish_test(test_bpe test_bpe.c lib/toy_vocab.c LIBS pf_coordinator)
pilotfish_test(test_tokenizer test_tokenizer.c lib/toy_vocab.c LIBS pf_coordinator)
pilotfish_test(test_text test_text.c lib/real.c LIBS pf_coordinator)
pilotfish_test(test_template test_template.c lib/real.c lib/toy_vocab.c LIBS pf_coordinator)

pilotfish_program(render lib/render_main.c LIBS pf_coordinator)
add_test(NAME templates COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/templates.py $<TARGET_FILE:render>
         WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})

pilotfish_program(ids lib/ids_main.c LIBS pf_coordinator)
add_test(NAME tokenizer_json COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/tokenizer_json.py $<TARGET_FILE:ids>
         WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
add_test(NAME directories
         COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/directories.py $<TARGET_FILE:pilotfish> $<TARGET_FILE:tiny>
                  $<TARGET_FILE:ids>
         WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})

include(fuzz/fuzz.cmake)
pilotfish_fuzz(tokenizer lib/toy_vocab.c LIBS pf_coordinator PkgConfig::CMOCKA)
pilotfish_fuzz(jinja LIBS pf_coordinator)

pilotfish_program(bench_tokenizer bench_tokenizer.c LIBS pf_coordinator)
