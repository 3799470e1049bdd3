# CMake generated Testfile for 
# Source directory: /work/f
# Build directory: /work/f/build2
# 
# This file includes the relevant testing commands required for 
# testing this directory and lists subdirectories to be tested as well.
subdirs("kernels")
subdirs("proto")
subdirs("worker")
subdirs("coordinator")
subdirs("tests")
