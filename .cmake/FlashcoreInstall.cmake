# A relocatable install: bin/, and lib/ with every shared library that bin/ needs except the C library's own, so that what
# is built on one distribution runs on a newer one. Include it after every target exists.
#
#   cmake --install BUILD --prefix DIR --component runtime     the programs, and the shared library of the C ABI if built
#   cmake --install BUILD --prefix DIR --component device      what measures and tests a GPU
set(flashcore_programs flashcore_server flashcore_load flashcore_attend flashcore_health)

# Every test named cuda_*_test, the kernel benchmark and the search for plans.
set(flashcore_device_programs flashcore_kernel_bench flashcore_rpc_bench flashcore_rpc_floor flashcore_telemetry_load
    flashcore_calibrate flashcore_tune)
if(BUILD_TESTING)
  foreach(folder tests/kernels tests/server/engine tests/server/telemetry)
    get_property(targets DIRECTORY ${PROJECT_SOURCE_DIR}/${folder} PROPERTY BUILDSYSTEM_TARGETS)
    list(FILTER targets INCLUDE REGEX "^cuda_.*_test$")
    list(APPEND flashcore_device_programs ${targets})
  endforeach()
endif()

# The C library and the loader must be the target machine's, together.
set(flashcore_c_library "^(ld-linux.*|lib(c|m|dl|pthread|rt|resolv|util|mvec|anl|nsl|nss_.*))\\.so")

# flashcore_install(COMPONENT target...): those of the targets that this build has.
function(flashcore_install component)
  set(targets "")
  foreach(target ${ARGN})
    if(TARGET ${target})
      list(APPEND targets ${target})
      set_target_properties(${target} PROPERTIES INSTALL_RPATH "$ORIGIN/../lib")
      # DT_RPATH reaches the libraries' own dependencies; DT_RUNPATH, the default, does not.
      target_link_options(${target} PRIVATE -Wl,--disable-new-dtags)
    endif()
  endforeach()
  if(NOT targets)
    return()
  endif()
  install(TARGETS ${targets}
          RUNTIME_DEPENDENCY_SET flashcore_${component}_libraries
          RUNTIME DESTINATION bin COMPONENT ${component}
          LIBRARY DESTINATION lib COMPONENT ${component})
  install(RUNTIME_DEPENDENCY_SET flashcore_${component}_libraries
          PRE_EXCLUDE_REGEXES ${flashcore_c_library}
          LIBRARY DESTINATION lib COMPONENT ${component})
endfunction()

flashcore_install(runtime ${flashcore_programs} flashcore_attention)
flashcore_install(device ${flashcore_device_programs})

# flashcore_release builds what the component runtime installs, flashcore_bundle what both do.
add_custom_target(flashcore_release)
foreach(target ${flashcore_programs} flashcore_attention)
  if(TARGET ${target})
    add_dependencies(flashcore_release ${target})
  endif()
endforeach()
add_custom_target(flashcore_bundle)
add_dependencies(flashcore_bundle flashcore_release)
foreach(target ${flashcore_device_programs})
  if(TARGET ${target})
    add_dependencies(flashcore_bundle ${target})
  endif()
endforeach()
