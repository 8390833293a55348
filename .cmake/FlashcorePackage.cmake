# What `cpack` makes from a build, out of the component `runtime` (FlashcoreInstall.cmake):
#
#   cpack -G TGZ    a folder that runs wherever it is unpacked: bin/, lib/, share/
#   cpack -G DEB    the same under /opt/flashcore, with the systemd unit and its flags; needs nothing but the C library
#
# deploy/package.sh builds both with the right options.
install(FILES ${PROJECT_SOURCE_DIR}/deploy/README.md ${PROJECT_SOURCE_DIR}/deploy/RUNBOOK.md
              ${PROJECT_SOURCE_DIR}/deploy/SECURITY.md DESTINATION share/doc COMPONENT runtime)
install(FILES ${PROJECT_SOURCE_DIR}/deploy/systemd/tls.conf DESTINATION share/systemd COMPONENT runtime)
install(FILES ${PROJECT_SOURCE_DIR}/proto/flashcore/v1/attention.proto DESTINATION share/proto/flashcore/v1
        COMPONENT runtime)
# The bundled libraries' licences ask to travel with them.
install(SCRIPT ${PROJECT_SOURCE_DIR}/.cmake/InstallCopyrights.cmake COMPONENT runtime)

# Where a distribution's package puts what is not under its prefix. Relative to the root.
install(FILES ${PROJECT_SOURCE_DIR}/deploy/systemd/flashcore.service DESTINATION usr/lib/systemd/system
        COMPONENT system EXCLUDE_FROM_ALL)
install(FILES ${PROJECT_SOURCE_DIR}/deploy/systemd/flashcore.sysusers DESTINATION usr/lib/sysusers.d
        RENAME flashcore.conf COMPONENT system EXCLUDE_FROM_ALL)
install(FILES ${PROJECT_SOURCE_DIR}/deploy/systemd/flags DESTINATION etc/flashcore
        COMPONENT system EXCLUDE_FROM_ALL)

set(CPACK_PACKAGE_NAME flashcore)
set(CPACK_PACKAGE_VENDOR FlashCore)
set(CPACK_PACKAGE_CONTACT "FlashCore maintainers <flashcore@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Attention as a network service")
set(CPACK_PACKAGE_DESCRIPTION "A gRPC server that owns a GPU, or a CPU, and answers softmax(QK^T)V.")
string(TOLOWER ${CMAKE_SYSTEM_PROCESSOR} flashcore_processor)
if(FLASHCORE_HAS_CUDA)
  set(flashcore_backend cuda)
else()
  set(flashcore_backend cpu)
endif()
set(CPACK_PACKAGE_FILE_NAME flashcore-${PROJECT_VERSION}-linux-${flashcore_processor}-${flashcore_backend})
set(CPACK_STRIP_FILES ON)
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_THREADS 0)
set(CPACK_GENERATOR TGZ DEB)
set(CPACK_INSTALL_CMAKE_PROJECTS ${PROJECT_BINARY_DIR} flashcore runtime /)

execute_process(COMMAND getconf GNU_LIBC_VERSION OUTPUT_VARIABLE flashcore_libc OUTPUT_STRIP_TRAILING_WHITESPACE)
string(REGEX MATCH "[0-9.]+" flashcore_libc "${flashcore_libc}")
set(CPACK_DEBIAN_PACKAGE_DEPENDS "libc6 (>= ${flashcore_libc})")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "systemd")
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    ${PROJECT_SOURCE_DIR}/deploy/package/conffiles ${PROJECT_SOURCE_DIR}/deploy/package/postinst
    ${PROJECT_SOURCE_DIR}/deploy/package/prerm ${PROJECT_SOURCE_DIR}/deploy/package/postrm)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_PROJECT_CONFIG_FILE ${PROJECT_SOURCE_DIR}/.cmake/PackageByGenerator.cmake)
include(CPack)
