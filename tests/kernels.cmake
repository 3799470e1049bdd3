set(hard lib/hard.c)
pilotfish_test(test_kernels test_kernels.c ${hard} LIBS pf_kernels)
pilotfish_test(test_kernels_ref test_kernels_ref.c ${hard} LIBS pf_kernels m)
pilotfish_test(test_math test_math.c LIBS pf_kernels m)
pilotfish_test(test_noise test_noise.c LIBS pf_kernels m)
pilotfish_test(test_requantize test_requantize.c ${hard} LIBS pf_worker m)
pilotfish_test(test_pool test_pool.c LIBS pf_kernels)
pilotfish_program(rows lib/rows_main.c ${hard} LIBS pf_kernels)
add_test(NAME dequantize COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/dequantize.py $<TARGET_FILE:rows>)

add_test(NAME libm_symbols COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/libm_symbols.sh ${CMAKE_NM} $<TARGET_FILE:pf_kernels>
                                   $<TARGET_FILE:pf_worker> $<TARGET_FILE:pf_proto>:rule.c.o)

# CPUs that this one is not: AVX2 without AVX-512, and neither. Sanitizers do not run under the emulator; AVX2 came with 7.2.
find_program(QEMU_X86_64 qemu-x86_64)
if(QEMU_X86_64 AND NOT CMAKE_C_FLAGS MATCHES "-fsanitize")
    execute_process(COMMAND ${QEMU_X86_64} --version OUTPUT_VARIABLE qemu_version)
    string(REGEX MATCH "version ([0-9.]+)" _ "${qemu_version}")
    if(CMAKE_MATCH_1 VERSION_GREATER_EQUAL 7.2)
        add_test(NAME test_kernels_Haswell COMMAND ${QEMU_X86_64} -cpu Haswell $<TARGET_FILE:test_kernels> avx2)
    endif()
    add_test(NAME test_kernels_Nehalem COMMAND ${QEMU_X86_64} -cpu Nehalem $<TARGET_FILE:test_kernels> ref)
    add_test(NAME test_kernels_ref_Nehalem COMMAND ${QEMU_X86_64} -cpu Nehalem $<TARGET_FILE:test_kernels_ref>)
endif()
