# The server of OpenAI's API.
pilotfish_test(test_ask test_ask.c lib/toy_vocab.c LIBS pf_coordinator)
pilotfish_test(test_choice test_choice.c lib/toy_vocab.c LIBS pf_coordinator)
pilotfish_test(test_counts test_counts.c LIBS pf_coordinator)
pilotfish_test(test_timeline test_timeline.c LIBS pf_coordinator)
include(fuzz/fuzz.cmake)
pilotfish_fuzz(ask lib/toy_vocab.c LIBS pf_coordinator PkgConfig::CMOCKA)

add_test(NAME serve COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/serve.py $<TARGET_FILE:pilotfish> $<TARGET_FILE:tiny>
         ${CMAKE_SOURCE_DIR})
