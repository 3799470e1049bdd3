# What ranks agree on: the layout, the rule, messages, mailboxes.
pilotfish_program(mpi_mail mpi_mail.c LIBS pf_proto)
pilotfish_ranks(mpi_mail 3 mpi_mail)

set(messages lib/messages.c)
pilotfish_test(test_layout test_layout.c LIBS pf_proto)
pilotfish_test(test_show test_show.c LIBS pf_proto)
pilotfish_test(test_rule test_rule.c LIBS pf_proto)
pilotfish_test(test_plan test_plan.c LIBS pf_proto)
pilotfish_test(test_router test_router.c LIBS pf_proto)
pilotfish_test(test_net_delay test_net_delay.c LIBS pf_proto)
pilotfish_test(test_wire test_wire.c ${messages} LIBS pf_proto)

pilotfish_program(messages lib/messages_main.c ${messages} LIBS pf_proto)
include(fuzz/fuzz.cmake)
pilotfish_fuzz(wire ${messages} LIBS pf_proto)
