# The pure heart on a virtual clock, the guard, and the roles of workers with toy models.
foreach(room test_spec test_spec_drafting test_spec_workers)
    pilotfish_test(${room} ${room}.c lib/sim.c ${CMAKE_SOURCE_DIR}/worker/slots.c LIBS pf_coordinator)
endforeach()
pilotfish_test(test_policy test_policy.c LIBS pf_coordinator)
pilotfish_test(test_slots test_slots.c LIBS pf_worker)
foreach(role verifier drafter misuse)
    pilotfish_test(test_${role} test_${role}.c lib/roles.c lib/desk.c LIBS pf_worker pf_tiny)
endforeach()
