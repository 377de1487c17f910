rankine_test(NAME kernels_pointwise_test LABEL fast
  SOURCES elementwise_test.cpp activation_test.cpp norm_test.cpp resample_test.cpp embedding_test.cpp loss_test.cpp
          cross_entropy_test.cpp reduce_test.cpp dora_test.cpp optim_test.cpp random_test.cpp rope_test.cpp
  LIBS rankine_kernels)
