rankine_test(NAME kernels_products_test
  SOURCES gemm_test.cpp matmul_test.cpp quantised_test.cpp lowrank_test.cpp conv_test.cpp
          vendor_library_test.cpp
  LIBS rankine_kernels LABEL fast)
