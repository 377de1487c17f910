# Compiler-wide settings, applied to every target through one interface library.
add_library(rankine_options INTERFACE)
target_include_directories(rankine_options INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(rankine_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wno-unused-parameter -Wno-missing-field-initializers>)

find_program(RANKINE_CCACHE ccache)
if(RANKINE_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${RANKINE_CCACHE})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${RANKINE_CCACHE})
endif()

if(RANKINE_SANITIZE)
  target_compile_options(rankine_options INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${RANKINE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer>)
  target_link_options(rankine_options INTERFACE -fsanitize=${RANKINE_SANITIZE})
endif()

if(RANKINE_FUZZ)  # the coverage that guides libFuzzer
  target_compile_options(rankine_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=fuzzer-no-link>)
endif()

find_package(Threads REQUIRED)

# rankine_library(NAME DEPENDS lib... ): a static library of one layer. Sources are added with target_sources.
function(rankine_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC rankine_options ${ARG_DEPENDS})
endfunction()
