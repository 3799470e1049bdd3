# The pure heart on a virtual clock, the guard, and the roles of workers with toy models.
pilotfish_test(test_spec test_spec.c lib/sim.c ${CMAKE_SOURCE_DIR}/worker/slots.c LIBS pf_coordinator)
pilotfish_test(test_policy test_policy.c LIBS pf_coordinator)
pilotfish_test(test_slots test_slots.c LIBS pf_worker)
pilotfish_test(test_roles test_roles.c lib/desk.c LIBS pf_worker pf_tiny)
