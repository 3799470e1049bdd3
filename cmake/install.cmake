# What `cmake --install` puts where, the target uninstall, and the Debian package. Nothing of it needs the tests.
include(GNUInstallDirs)
set(made ${CMAKE_BINARY_DIR}/installed) # files that exist only to be installed

install(TARGETS pilotfish RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})

# scripts/mpirun under its installed name, with the launcher of the MPI that the program is linked with.
set(script ${CMAKE_SOURCE_DIR}/scripts/mpirun)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${script})
file(READ ${script} text)
string(REPLACE "\nLAUNCHER = None " "\nLAUNCHER = \"${MPIEXEC_EXECUTABLE}\" " text "${text}")
string(REPLACE "#!/usr/bin/env python3" "#!/usr/bin/python3" text "${text}")
file(WRITE ${made}/pilotfish-mpirun "${text}")
file(CHMOD ${made}/pilotfish-mpirun PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
     WORLD_READ WORLD_EXECUTE)
install(PROGRAMS ${made}/pilotfish-mpirun DESTINATION ${CMAKE_INSTALL_BINDIR})

# Man pages and completions, from the program's own tables. SOURCE_DATE_EPOCH fixes the date.
string(TIMESTAMP today "%Y-%m-%d" UTC)
find_program(GZIP gzip REQUIRED)
add_custom_command(
    OUTPUT ${made}/docs.stamp
    COMMAND ${CMAKE_COMMAND} -E rm -rf ${made}/docs
    COMMAND ${CMAKE_COMMAND} -E make_directory ${made}/docs
    COMMAND python3 ${made}/pilotfish-mpirun --help > ${made}/mpirun.help
    COMMAND pilotfish_docs ${made}/docs ${PROJECT_VERSION} ${today} < ${made}/mpirun.help
    COMMAND ${GZIP} -9nr ${made}/docs/man1
    COMMAND ${CMAKE_COMMAND} -E touch ${made}/docs.stamp
    DEPENDS pilotfish_docs ${script}
    COMMENT "Man pages and completions")
add_custom_target(docs ALL DEPENDS ${made}/docs.stamp)
install(DIRECTORY ${made}/docs/man1 DESTINATION ${CMAKE_INSTALL_MANDIR})
install(FILES ${made}/docs/pilotfish.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
        RENAME pilotfish)
install(FILES ${made}/docs/pilotfish.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
# Under /usr Debian's zsh looks elsewhere than any zsh under /usr/local.
install(CODE "
    set(functions zsh/site-functions)
    if(CMAKE_INSTALL_PREFIX MATCHES \"(^|/)usr$\")
        set(functions zsh/vendor-completions)
    endif()
    file(INSTALL \"${made}/docs/_pilotfish\"
         DESTINATION \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DATADIR}/\${functions}\")")

install(DIRECTORY ${CMAKE_SOURCE_DIR}/deploy/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/deploy USE_SOURCE_PERMISSIONS)

string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)
configure_file(${CMAKE_SOURCE_DIR}/cmake/changelog.Debian.in ${made}/changelog.Debian)
configure_file(${CMAKE_SOURCE_DIR}/cmake/copyright.in ${made}/copyright)
configure_file(${CMAKE_SOURCE_DIR}/CHANGELOG.md ${made}/changelog COPYONLY)
execute_process(COMMAND ${GZIP} -9nkf ${made}/changelog ${made}/changelog.Debian COMMAND_ERROR_IS_FATAL ANY)
install(FILES ${made}/changelog.gz ${made}/changelog.Debian.gz ${made}/copyright DESTINATION ${CMAKE_INSTALL_DOCDIR})

# ---- uninstall: what the last installation wrote; cpack installs too, into a folder of its own ----

set(manifest ${CMAKE_BINARY_DIR}/uninstall.txt)
install(CODE "
    if(NOT \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}\" MATCHES _CPack_Packages)
        list(JOIN CMAKE_INSTALL_MANIFEST_FILES \"\n\" files)
        file(WRITE ${manifest} \"\${files}\")
    endif()")
add_custom_target(uninstall COMMAND ${CMAKE_COMMAND} -D MANIFEST=${manifest}
                  -P ${CMAKE_SOURCE_DIR}/cmake/uninstall.cmake)

# ---- the Debian package: cpack, in the build folder ----

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "Pilotfish maintainers <maintainers@pilotfish.invalid>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS python3)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "openmpi-bin, openssh-client")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "exact speculative decoding of language models, on CPUs and over MPI
A little model drafts, a big model checks many drafts in one pass, and the text
is the big model's own, bit for bit: on one machine, or with the big model
sharded over MPI ranks.")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
    WORLD_READ WORLD_EXECUTE)
include(CPack)
