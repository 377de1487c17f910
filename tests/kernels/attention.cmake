rankine_test(NAME attention_test LABEL fast
  SOURCES attention_test.cpp attention_few_test.cpp attention_ranges_test.cpp
  LIBS rankine_kernels)
