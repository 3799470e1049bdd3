# The command line, what people see, and the commands that need no worker.
pilotfish_test(test_options test_options.c LIBS pf_coordinator)
pilotfish_test(test_front test_front.c LIBS pf_coordinator)
pilotfish_test(test_stop test_stop.c LIBS pf_coordinator)
pilotfish_test(test_prompts test_prompts.c LIBS pf_coordinator pf_tiny)
add_test(NAME cli COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli.sh $<TARGET_FILE:pilotfish> $<TARGET_FILE:tiny>)
add_test(NAME mpirun_script COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/mpirun.sh ${CMAKE_SOURCE_DIR}/scripts)
set_tests_properties(mpirun_script PROPERTIES TIMEOUT 60)
add_test(NAME bad_input COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/bad_input.sh $<TARGET_FILE:pilotfish> $<TARGET_FILE:tiny>
         ${CMAKE_SOURCE_DIR}/scripts)
set_tests_properties(bad_input PROPERTIES TIMEOUT 300)
add_test(NAME lost_ranks COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/lost_ranks.sh $<TARGET_FILE:pilotfish> $<TARGET_FILE:tiny>
         ${CMAKE_SOURCE_DIR}/scripts WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
set_tests_properties(lost_ranks PROPERTIES TIMEOUT 300)
add_test(NAME chat COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/chat.sh $<TARGET_FILE:pilotfish> $<TARGET_FILE:tiny>
         ${CMAKE_SOURCE_DIR}/scripts WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
set_tests_properties(chat PROPERTIES TIMEOUT 300)
add_test(NAME reproduce COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/reproduce.py $<TARGET_FILE:pilotfish> $<TARGET_FILE:tiny>)
set_tests_properties(reproduce PROPERTIES TIMEOUT 300)
