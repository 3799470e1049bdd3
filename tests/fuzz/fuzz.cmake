# pilotfish_fuzz(part source... [LIBS lib...]): fuzz/fuzz_<part>.c as replay_<part>, a ctest test over
# fuzz/corpus/<part>, and, with PILOTFISH_FUZZ (clang), as the libFuzzer program fuzz_<part>. scripts/fuzz builds and
# runs it.
include_guard()
function(pilotfish_fuzz part)
    cmake_parse_arguments(F "" "" "LIBS" ${ARGN})
    set(sources fuzz/fuzz_${part}.c ${F_UNPARSED_ARGUMENTS})
    pilotfish_program(replay_${part} fuzz/replay.c ${sources} LIBS ${F_LIBS})
    add_test(NAME replay_${part} COMMAND replay_${part} ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/${part})
    set_tests_properties(replay_${part} PROPERTIES LABELS unit)
    if(PILOTFISH_FUZZ)
        pilotfish_program(fuzz_${part} ${sources} LIBS ${F_LIBS} -fsanitize=fuzzer)
    endif()
endfunction()
