# Read by cpack once for each generator: a .deb has its files all over the system, a .tar.gz in one folder.
if(CPACK_GENERATOR STREQUAL "DEB")
  list(GET CPACK_INSTALL_CMAKE_PROJECTS 0 flashcore_build_dir)
  set(CPACK_PACKAGING_INSTALL_PREFIX /)
  set(CPACK_INSTALL_CMAKE_PROJECTS ${flashcore_build_dir} flashcore runtime /opt/flashcore
                                   ${flashcore_build_dir} flashcore system /)
endif()
