# cuDNN, where its headers are installed: kernels/conv may then hand convolutions to it on cards where it is faster. The
# library itself is looked for when a program runs, which therefore starts without it.
set(RANKINE_WITH_CUDNN OFF)
option(RANKINE_CUDNN "Use cuDNN for convolutions on cards where it is faster, if found" ON)

if(RANKINE_CUDNN AND RANKINE_WITH_CUDA AND NOT RANKINE_EMULATED)
  find_path(RANKINE_CUDNN_INCLUDE NAMES cudnn.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  if(RANKINE_CUDNN_INCLUDE)
    set(RANKINE_WITH_CUDNN ON)
    target_compile_definitions(rankine_options INTERFACE RANKINE_WITH_CUDNN)
    target_include_directories(rankine_cuda SYSTEM INTERFACE ${RANKINE_CUDNN_INCLUDE})
    target_link_libraries(rankine_cuda INTERFACE ${CMAKE_DL_LIBS})
  else()
    message(STATUS "cuDNN not found: convolutions use Rankine's own kernels on every card")
  endif()
endif()
