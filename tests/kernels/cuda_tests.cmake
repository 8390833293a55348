# Without a device.
flashcore_test(cuda_plan_test SOURCES cuda_plan_test.cc LIBS flashcore_kernels flashcore_kernels_cuda)
flashcore_test(cuda_divisor_test SOURCES cuda_divisor_test.cc LIBS flashcore_kernels_cuda)
flashcore_test(cuda_tile_order_test SOURCES cuda_tile_order_test.cc LIBS flashcore_kernels flashcore_kernels_cuda)
flashcore_test(cuda_fused_plan_test SOURCES cuda_fused_plan_test.cc LIBS flashcore_kernels flashcore_kernels_cuda)
flashcore_test(cuda_backend_test SOURCES cuda_backend_test.cc LIBS flashcore_kernels flashcore_kernels_cuda)

# On a device.
add_library(flashcore_cuda_runner STATIC cuda_runner.cc)
target_link_libraries(
  flashcore_cuda_runner
  PUBLIC flashcore_kernel_harness flashcore_kernels_cuda
  PRIVATE flashcore_options)
flashcore_test(cuda_attention_test SOURCES cuda_attention_test.cc LIBS flashcore_cuda_runner LABELS gpu TIMEOUT 600)
flashcore_test(cuda_containment_test SOURCES cuda_containment_test.cc LIBS flashcore_cuda_runner LABELS gpu)
flashcore_test(cuda_offsets_test SOURCES cuda_offsets_test.cc LIBS flashcore_cuda_runner LABELS gpu)
flashcore_test(cuda_tiles_test SOURCES cuda_tiles_test.cc
               LIBS flashcore_cuda_runner flashcore_kernel_bench_device LABELS gpu)
