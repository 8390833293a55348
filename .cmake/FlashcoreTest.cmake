# flashcore_test(NAME SOURCES file... LIBS target... [LABELS label...] [TIMEOUT seconds])
# One GoogleTest binary, registered with CTest as one test. Labels: unit (the default), integration, gpu; and grpc, added
# here to what links gRPC, which ThreadSanitizer cannot see through.
#
# Targets: flashcore_tests builds every test; flashcore_tests_without_grpc those that link no gRPC.
add_custom_target(flashcore_tests)
add_custom_target(flashcore_tests_without_grpc)

# Whether `target` links gRPC, itself or through what it links.
function(flashcore_links_grpc target result)
  set(waiting ${target})
  set(seen "")
  set(${result} OFF PARENT_SCOPE)
  while(waiting)
    list(POP_FRONT waiting current)
    if(current MATCHES "^gRPC::")
      set(${result} ON PARENT_SCOPE)
      return()
    endif()
    if(TARGET ${current} AND NOT current IN_LIST seen)
      list(APPEND seen ${current})
      foreach(property LINK_LIBRARIES INTERFACE_LINK_LIBRARIES)
        get_target_property(libraries ${current} ${property})
        if(libraries)
          list(APPEND waiting ${libraries})
        endif()
      endforeach()
    endif()
  endwhile()
endfunction()

function(flashcore_test name)
  cmake_parse_arguments(T "" "TIMEOUT" "SOURCES;LIBS;LABELS" ${ARGN})
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 120)
  endif()
  if(FLASHCORE_SANITIZER)
    math(EXPR T_TIMEOUT "${T_TIMEOUT} * 5")
  endif()
  if(NOT T_LABELS)
    set(T_LABELS unit)
  endif()
  add_executable(${name} ${T_SOURCES})
  target_link_libraries(${name} PRIVATE flashcore_options ${T_LIBS} GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name})
  add_dependencies(flashcore_tests ${name})
  flashcore_links_grpc(${name} links_grpc)
  if(links_grpc)
    list(APPEND T_LABELS grpc)
  else()
    add_dependencies(flashcore_tests_without_grpc ${name})
  endif()
  # A binary whose every test skipped itself is reported as skipped. The pattern reaches to the end of the output, so
  # that it never hides a failure.
  set_tests_properties(${name} PROPERTIES
    LABELS "${T_LABELS}"
    TIMEOUT ${T_TIMEOUT}
    SKIP_REGULAR_EXPRESSION "\\[  PASSED  \\] 0 tests\\.\n(\\[  SKIPPED \\] [^\n]*\n)+$")
endfunction()
