# The pure heart on a virtual clock, its draft policy, and the roles of workers with toy models.
foreach(room test_spec test_spec_drafting test_spec_workers test_requests test_losses test_self_start test_ahead
        test_early)
    pilotfish_test(${room} ${room}.c ${sim} LIBS pf_simulator)
endforeach()
foreach(part seq spec_answers policy policy_cost policy_ahead drafter_view flights score)
    pilotfish_test(test_${part} test_${part}.c LIBS pf_coordinator)
endforeach()
pilotfish_test(test_simulator test_simulator.c LIBS pf_simulator)
pilotfish_test(test_planner test_planner.c LIBS pf_simulator m)
pilotfish_test(test_budget test_budget.c LIBS pf_proto m)
# Several requests that draft beside one another, in virtual time.
pilotfish_test(test_crowd test_crowd.c LIBS pf_simulator m)
# What a synthetic pair does, in virtual time and in a sweep.
pilotfish_test(test_synthetic test_synthetic.c LIBS pf_proto m)
pilotfish_test(test_simulate test_simulate.c LIBS pf_simulator m)
pilotfish_test(test_spec_bench test_spec_bench.c LIBS pf_coordinator m)
add_test(NAME bench_spec COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/bench_spec.py $<TARGET_FILE:pilotfish>
         $<TARGET_FILE:tiny> ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/scripts)
add_test(NAME trace COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/trace.py $<TARGET_FILE:pilotfish> $<TARGET_FILE:tiny>
         ${CMAKE_SOURCE_DIR}/scripts)
pilotfish_test(test_slots test_slots.c LIBS pf_worker)
pilotfish_test(test_links test_links.c LIBS pf_worker)
foreach(room test_lead test_lead_drafts test_lead_blocks test_lead_budget)
    pilotfish_test(${room} ${room}.c lib/scene.c LIBS pf_worker)
endforeach()
pilotfish_test(test_exits test_exits.c LIBS pf_worker pf_tiny)
pilotfish_test(test_swift test_swift.c lib/lone_leader.c LIBS pf_worker pf_tiny m)
pilotfish_test(test_draft_plans test_draft_plans.c lib/lone_leader.c LIBS pf_worker pf_tiny)
target_link_options(test_draft_plans PRIVATE -Wl,--wrap=engine_run) # it counts what is run
pilotfish_test(test_gather_acts test_gather_acts.c LIBS pf_worker pf_tiny)
pilotfish_test(test_device test_device.c lib/device_steps.c LIBS pf_grid m ${CMAKE_DL_LIBS})
if(TARGET pilotfish_cuda_cpu_emulated)
    add_test(NAME cuda_cpu COMMAND test_device $<TARGET_FILE:pilotfish_cuda_cpu_emulated>
             WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    add_dependencies(test_device pilotfish_cuda_cpu_emulated)
endif()
pilotfish_test(test_lookup test_lookup.c LIBS pf_worker)
foreach(role verifier drafter misuse failed drops)
    pilotfish_test(test_${role} test_${role}.c lib/roles.c lib/test_coordinator.c LIBS pf_worker pf_tiny)
endforeach()
pilotfish_test(test_liars test_liars.c lib/liar.c LIBS pf_coordinator pf_worker pf_tiny m)
pilotfish_program(liar lib/liar_main.c lib/liar.c LIBS pf_worker m)
add_test(NAME lying_ranks COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/lying_ranks.sh $<TARGET_FILE:pilotfish>
         $<TARGET_FILE:tiny>
         $<TARGET_FILE:liar> ${CMAKE_SOURCE_DIR}/scripts)

# The draft policy against hindsight, over a grid of chances and times; scripts/test --long takes all of it.
pilotfish_program(hindsight hindsight.c LIBS pf_simulator m)
add_test(NAME hindsight COMMAND hindsight)

# Devices as the program meets them: a module with faults.
add_library(fake_device MODULE lib/fake_device.c)
target_include_directories(fake_device PRIVATE ${sees}/all)
target_link_libraries(fake_device PRIVATE pf_kernels)
target_link_options(fake_device PRIVATE -Wl,--exclude-libs,ALL) # whose symbols are not the program's
add_test(NAME devices COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/devices.sh $<TARGET_FILE:pilotfish> $<TARGET_FILE:tiny>
         $<TARGET_FILE:fake_device> ${CMAKE_SOURCE_DIR}/scripts)
