# kernels/cuda on the CPU (emulated/cuda), its sources unchanged. Needs a C++ compiler; the program does not.
include(CheckLanguage)
check_language(CXX)
if(CMAKE_CXX_COMPILER)
    add_subdirectory(emulated/cuda)
else()
    message(STATUS "no C++ compiler: the tests of kernels/cuda are left out")
endif()
