# Libraries of the system that more than one part uses.

# SIMD. Looked for by its files: some machines have them, unpacked, without pkg-config.
find_path(RANKINE_HIGHWAY_INCLUDE NAMES hwy/highway.h)
find_library(RANKINE_HIGHWAY NAMES hwy)
if(NOT RANKINE_HIGHWAY_INCLUDE OR NOT RANKINE_HIGHWAY)
  message(FATAL_ERROR "Highway was not found (Debian: libhwy-dev)")
endif()
add_library(rankine_highway INTERFACE)
target_include_directories(rankine_highway SYSTEM INTERFACE ${RANKINE_HIGHWAY_INCLUDE})
target_link_libraries(rankine_highway INTERFACE ${RANKINE_HIGHWAY})

# Programs measure the machine with it (bench/roofline.cpp); the libraries do without.
option(RANKINE_BLAS "Compare the machine's rate of products with OpenBLAS" ON)
add_library(rankine_cblas INTERFACE)
if(RANKINE_BLAS)
  find_library(RANKINE_CBLAS NAMES openblas)
  find_path(RANKINE_CBLAS_INCLUDE NAMES cblas.h PATH_SUFFIXES openblas)
  if(NOT RANKINE_CBLAS OR NOT RANKINE_CBLAS_INCLUDE)
    message(FATAL_ERROR "OpenBLAS was not found (Debian: libopenblas-pthread-dev); configure with -DRANKINE_BLAS=OFF to do without")
  endif()
  target_compile_definitions(rankine_cblas INTERFACE RANKINE_WITH_CBLAS)
  target_include_directories(rankine_cblas INTERFACE ${RANKINE_CBLAS_INCLUDE})
  target_link_libraries(rankine_cblas INTERFACE ${RANKINE_CBLAS} ${CMAKE_DL_LIBS})
endif()
