# flashcore_options: what every target of ours is compiled with. Link it PRIVATE.
add_library(flashcore_options INTERFACE)
target_include_directories(flashcore_options INTERFACE ${PROJECT_SOURCE_DIR})

set(flashcore_warnings -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
    -Wcast-align -Wunused -Wformat=2)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  list(APPEND flashcore_warnings -Wthread-safety -Wthread-safety-beta)
endif()
if(FLASHCORE_SANITIZER STREQUAL "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Abseil's flags use fences, which ThreadSanitizer does not model.
  list(APPEND flashcore_warnings -Wno-tsan)
endif()
if(FLASHCORE_WERROR)
  list(APPEND flashcore_warnings -Werror)
endif()
target_compile_options(flashcore_options INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${flashcore_warnings}>")

if(FLASHCORE_SANITIZER)
  # Global on purpose: a sanitizer must see every translation unit.
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${FLASHCORE_SANITIZER}>
                      $<$<COMPILE_LANGUAGE:CXX>:-fno-omit-frame-pointer>
                      $<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize-recover=all>)
  add_link_options(-fsanitize=${FLASHCORE_SANITIZER})
endif()
