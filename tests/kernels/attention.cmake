rankine_test(NAME attention_test SOURCES attention_test.cpp LIBS rankine_kernels LABEL fast)
