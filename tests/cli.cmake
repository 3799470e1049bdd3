# The command line, what people see, and the commands that need no worker.
pilotfish_test(test_options test_options.c LIBS pf_coordinator)
pilotfish_test(test_output test_output.c ${sim} LIBS pf_simulator)
pilotfish_test(test_network test_network.c LIBS pf_coordinator)
pilotfish_test(test_progress test_progress.c LIBS pf_coordinator)
pilotfish_test(test_stop test_stop.c ${sim} LIBS pf_simulator)
pilotfish_test(test_prompts test_prompts.c lib/prompt_files.c LIBS pf_coordinator pf_tiny)
pilotfish_test(test_prompt_settings test_prompt_settings.c lib/prompt_files.c LIBS pf_coordinator pf_tiny)
pilotfish_test(test_metadata test_metadata.c LIBS pf_coordinator)
pilotfish_test(test_workers test_workers.c LIBS pf_coordinator)
pilotfish_test(test_shares test_shares.c LIBS pf_coordinator)
pilotfish_test(test_heartbeat test_heartbeat.c LIBS pf_coordinator)
pilotfish_test(test_doctor test_doctor.c LIBS pf_worker pf_tiny)
add_test(NAME cli COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli.sh $<TARGET_FILE:pilotfish> $<TARGET_FILE:tiny>)
add_test(NAME lines COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/lines.py $<TARGET_FILE:pilotfish> $<TARGET_FILE:tiny>)
add_test(NAME config COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/config.sh $<TARGET_FILE:pilotfish> $<TARGET_FILE:tiny>
         ${CMAKE_SOURCE_DIR}/scripts)
add_test(NAME readme COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/readme.py $<TARGET_FILE:pilotfish> $<TARGET_FILE:tiny>
         ${CMAKE_SOURCE_DIR})
add_test(NAME papers COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/papers.py $<TARGET_FILE:pilotfish> $<TARGET_FILE:tiny>
         ${CMAKE_SOURCE_DIR})
add_test(NAME network COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/network.sh $<TARGET_FILE:pilotfish> $<TARGET_FILE:tiny>
         ${CMAKE_SOURCE_DIR}/scripts)
add_test(NAME plans COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/plans.sh $<TARGET_FILE:pilotfish> $<TARGET_FILE:tiny>
         ${CMAKE_SOURCE_DIR}/scripts)
add_test(NAME planner COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/planner.py $<TARGET_FILE:pilotfish>
         $<TARGET_FILE:tiny> ${CMAKE_SOURCE_DIR})
add_test(NAME found_plans COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/found_plans.sh $<TARGET_FILE:pilotfish>
         $<TARGET_FILE:tiny> ${CMAKE_SOURCE_DIR}/scripts)
add_test(NAME make_model COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/make_model.sh $<TARGET_FILE:pilotfish>
         ${CMAKE_SOURCE_DIR}/scripts)
add_test(NAME scripts_help COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/scripts_help.sh ${CMAKE_SOURCE_DIR}/scripts)
add_test(NAME programs COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/programs.sh $<TARGET_FILE:pilotfish> $<TARGET_FILE:tiny>
         ${CMAKE_SOURCE_DIR}/scripts)
add_test(NAME mpirun_script COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/mpirun.sh ${CMAKE_SOURCE_DIR}/scripts)
add_test(NAME installed COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/installed.sh ${CMAKE_BINARY_DIR} $<TARGET_FILE:tiny>)
foreach(name deploy slurm)
    add_test(NAME ${name} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/${name}.sh $<TARGET_FILE:pilotfish> $<TARGET_FILE:tiny>
             ${CMAKE_SOURCE_DIR})
    set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77)
endforeach()
add_test(NAME mpijob COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/mpijob.py $<TARGET_FILE:pilotfish> $<TARGET_FILE:tiny>
         ${CMAKE_SOURCE_DIR})
add_test(NAME netns COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/netns.sh $<TARGET_FILE:pilotfish> $<TARGET_FILE:tiny>
         ${CMAKE_SOURCE_DIR}/scripts)
set_tests_properties(netns PROPERTIES SKIP_RETURN_CODE 77)
add_test(NAME launched COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/launched.py $<TARGET_FILE:pilotfish>
         $<TARGET_FILE:tiny>
         ${CMAKE_SOURCE_DIR}/scripts)
add_test(NAME bad_input COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/bad_input.sh $<TARGET_FILE:pilotfish> $<TARGET_FILE:tiny>
         ${CMAKE_SOURCE_DIR}/scripts)
add_test(NAME model_keys COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/model_keys.py $<TARGET_FILE:pilotfish>)
add_test(NAME program_fuzz COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/program_fuzz.py $<TARGET_FILE:pilotfish>
         $<TARGET_FILE:tiny> 500)
set_tests_properties(program_fuzz PROPERTIES PROCESSORS 2)
add_test(NAME lost_ranks COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/lost_ranks.sh $<TARGET_FILE:pilotfish> $<TARGET_FILE:tiny>
         ${CMAKE_SOURCE_DIR}/scripts WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
add_test(NAME stopped_ranks COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/stopped_ranks.sh $<TARGET_FILE:pilotfish>
         $<TARGET_FILE:tiny> ${CMAKE_SOURCE_DIR}/scripts WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
add_test(NAME idle_ranks COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/idle_ranks.sh $<TARGET_FILE:pilotfish> $<TARGET_FILE:tiny>
         ${CMAKE_SOURCE_DIR}/scripts WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
add_library(dies MODULE lib/dies.c)
target_include_directories(dies PRIVATE ${MPI_C_INCLUDE_DIRS})
add_test(NAME lost_at_start COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/lost_at_start.py $<TARGET_FILE:pilotfish>
         $<TARGET_FILE:tiny> ${CMAKE_SOURCE_DIR}/scripts $<TARGET_FILE:dies>)
add_test(NAME chat COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/chat.sh $<TARGET_FILE:pilotfish> $<TARGET_FILE:tiny>
         ${CMAKE_SOURCE_DIR}/scripts WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
add_test(NAME reproduce COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/reproduce.py $<TARGET_FILE:pilotfish>
         $<TARGET_FILE:tiny>)
# An exit is trained on a toy; with --steps 2000 longer.
add_test(NAME balcony COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/balcony.py $<TARGET_FILE:pilotfish>
         $<TARGET_FILE:tiny> ${CMAKE_SOURCE_DIR}/scripts)
# A little model is aligned with a big one: likewise.
add_test(NAME bild COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/bild.py $<TARGET_FILE:pilotfish>
         $<TARGET_FILE:tiny> ${CMAKE_SOURCE_DIR}/scripts)
add_executable(metrics lib/metrics_main.c)
target_include_directories(metrics PRIVATE ${sees}/all)
target_link_libraries(metrics PRIVATE pf_coordinator)
add_test(NAME metrics COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/metrics.py $<TARGET_FILE:metrics>)
add_test(NAME eval COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/eval.sh $<TARGET_FILE:pilotfish> $<TARGET_FILE:tiny>
         ${CMAKE_SOURCE_DIR}/scripts)
add_test(NAME figures COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/figures.sh $<TARGET_FILE:pilotfish> $<TARGET_FILE:tiny>
         ${CMAKE_SOURCE_DIR}/scripts)
add_test(NAME train COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/train.py $<TARGET_FILE:pilotfish> ${CMAKE_SOURCE_DIR}
         ${CMAKE_CURRENT_BINARY_DIR}/trained)
add_test(NAME report COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/report.py $<TARGET_FILE:pilotfish>
         ${CMAKE_SOURCE_DIR}/scripts)

add_test(NAME progress COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/progress.py $<TARGET_FILE:pilotfish>
         $<TARGET_FILE:tiny>)

include(fuzz/fuzz.cmake)
pilotfish_fuzz(config LIBS pf_coordinator)
add_test(NAME limits COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/limits.sh $<TARGET_FILE:pilotfish> $<TARGET_FILE:tiny>)
if(NOT CMAKE_C_FLAGS MATCHES "-fsanitize") # which have allocators of their own
    add_library(fail_alloc MODULE lib/fail_alloc.c)
    add_test(NAME allocations COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/allocations.sh $<TARGET_FILE:pilotfish>
             $<TARGET_FILE:tiny>
             $<TARGET_FILE:fail_alloc>)
endif()
