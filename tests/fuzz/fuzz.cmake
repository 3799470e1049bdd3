# pilotfish_fuzz(part): fuzz/fuzz_<part>.c as replay_<part>, a ctest test over fuzz/corpus/<part>, and, with PILOTFISH_FUZZ
# (clang), as the libFuzzer program fuzz_<part>. scripts/fuzz builds and runs it.
include_guard()
function(pilotfish_fuzz part)
    add_executable(replay_${part} fuzz/replay.c fuzz/fuzz_${part}.c)
    target_include_directories(replay_${part} PRIVATE ${sees}/all)
    target_link_libraries(replay_${part} PRIVATE pf_proto)
    add_test(NAME replay_${part} COMMAND replay_${part} ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/${part})
    if(PILOTFISH_FUZZ)
        add_executable(fuzz_${part} fuzz/fuzz_${part}.c)
        target_include_directories(fuzz_${part} PRIVATE ${sees}/all)
        target_link_libraries(fuzz_${part} PRIVATE pf_proto -fsanitize=fuzzer)
    endif()
endfunction()
