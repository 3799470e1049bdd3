# pilotfish_fuzz(part source...): fuzz/fuzz_<part>.c as replay_<part>, a ctest test over fuzz/corpus/<part>, and, with PILOTFISH_FUZZ
# (clang), as the libFuzzer program fuzz_<part>. scripts/fuzz builds and runs it.
include_guard()
function(pilotfish_fuzz part)
    pilotfish_program(replay_${part} fuzz/replay.c fuzz/fuzz_${part}.c ${ARGN} LIBS pf_proto)
    add_test(NAME replay_${part} COMMAND replay_${part} ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/${part})
    set_tests_properties(replay_${part} PROPERTIES LABELS unit)
    if(PILOTFISH_FUZZ)
        pilotfish_program(fuzz_${part} fuzz/fuzz_${part}.c ${ARGN} LIBS pf_proto -fsanitize=fuzzer)
    endif()
endfunction()
