#!/usr/bin/env python3
"""The server that one would write around PyTorch: grpcio, protobuf, scaled_dot_product_attention on the GPU.

It answers flashcore.v1.AttentionService/Attend (no masks, no options beyond `causal` and `sm_scale`; BHSD), so that
bench/rpc.sh can load it and FlashCore with one client. It is meant well: bytes are not copied where PyTorch can look at
them, each of gRPC's threads has a CUDA stream of its own, and pinned buffers are left to PyTorch's own allocator.

Needs grpcio, protobuf and flashcore/v1/attention_pb2.py (bench/torch_peer/fetch.sh brings them), and PyTorch with CUDA;
--compute=numpy needs NumPy instead, and only shows that the rest works.
"""

import argparse
import os
import signal
import threading
import warnings
from concurrent import futures

import grpc

from flashcore.v1 import attention_pb2

METHOD_SERVICE = "flashcore.v1.AttentionService"
# As many as gRPC's guide for Python suggests to start with: more threads than CPUs only wait for the interpreter's lock.
DEFAULT_WORKERS = os.cpu_count() or 1
UNLIMITED = -1


class TorchCompute:
    """scaled_dot_product_attention, each thread on its own stream."""

    def __init__(self):
        import torch  # pylint: disable=import-outside-toplevel

        self.torch = torch
        self.dtypes = {attention_pb2.DTYPE_FP16: torch.float16, attention_pb2.DTYPE_BF16: torch.bfloat16,
                       attention_pb2.DTYPE_FP32: torch.float32}
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.local = threading.local()
        # Nobody writes to what came off the network.
        warnings.filterwarnings("ignore", message="The given buffer is not writable")
        torch.zeros(1, device=self.device)  # Starts CUDA before anybody waits for it.

    def describe(self):
        name = self.torch.cuda.get_device_name() if self.device == "cuda" else "CPU"
        return f"PyTorch {self.torch.__version__} on {name}"

    def stream(self):
        if not hasattr(self.local, "stream"):
            self.local.stream = self.torch.cuda.Stream() if self.device == "cuda" else None
        return self.torch.cuda.stream(self.local.stream)

    def to_device(self, tensor):
        host = self.torch.frombuffer(tensor.data, dtype=self.dtypes[tensor.dtype]).view(tuple(tensor.shape))
        return host.to(self.device, non_blocking=True)

    def attend(self, request):
        options = request.options
        with self.torch.inference_mode(), self.stream():
            output = self.torch.nn.functional.scaled_dot_product_attention(
                self.to_device(request.q), self.to_device(request.k), self.to_device(request.v),
                is_causal=options.causal, scale=options.sm_scale if options.HasField("sm_scale") else None,
                enable_gqa=request.q.shape[1] != request.k.shape[1])
            # The copy to the host waits for the stream. NumPy has no bfloat16, and needs none to see bytes.
            return output.cpu().contiguous().view(self.torch.uint8).numpy().tobytes()


class NumpyCompute:
    """The same in float32 on one CPU."""

    def __init__(self):
        import numpy  # pylint: disable=import-outside-toplevel

        self.numpy = numpy
        self.dtypes = {attention_pb2.DTYPE_FP16: numpy.float16, attention_pb2.DTYPE_FP32: numpy.float32}

    def describe(self):
        return f"NumPy {self.numpy.__version__}"

    def to_float32(self, tensor):
        stored = self.numpy.frombuffer(tensor.data, dtype=self.dtypes[tensor.dtype])
        return stored.reshape(tuple(tensor.shape)).astype(self.numpy.float32)

    def attend(self, request):
        q, k, v = (self.to_float32(tensor) for tensor in (request.q, request.k, request.v))
        logits = q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5
        weights = self.numpy.exp(logits - logits.max(axis=-1, keepdims=True))
        output = weights @ v / weights.sum(axis=-1, keepdims=True)
        return output.astype(self.dtypes[request.q.dtype]).tobytes()


def make_handler(compute):
    def attend(request, context):
        del context
        q = request.q
        output = attention_pb2.Tensor(dtype=q.dtype, shape=q.shape, layout=q.layout, data=compute.attend(request))
        return attention_pb2.AttendResponse(o=output)

    method = grpc.unary_unary_rpc_method_handler(
        attend, request_deserializer=attention_pb2.AttendRequest.FromString,
        response_serializer=attention_pb2.AttendResponse.SerializeToString)
    return grpc.method_handlers_generic_handler(METHOD_SERVICE, {"Attend": method})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", default="127.0.0.1:0", help="host:port; port 0: the kernel chooses (default)")
    parser.add_argument("--unix-socket", help="path of a Unix socket to listen on as well")
    parser.add_argument("--compute", choices=("torch", "numpy"), default="torch")
    parser.add_argument("--workers", type=int, default=DEFAULT_WORKERS, help="threads (default: the number of CPUs)")
    arguments = parser.parse_args()

    compute = TorchCompute() if arguments.compute == "torch" else NumpyCompute()
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=arguments.workers),
        options=[("grpc.max_receive_message_length", UNLIMITED), ("grpc.max_send_message_length", UNLIMITED),
                 ("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((make_handler(compute),))
    port = server.add_insecure_port(arguments.listen)
    if arguments.unix_socket:
        server.add_insecure_port(f"unix:{arguments.unix_socket}")
    server.start()
    print(f"{compute.describe()}, grpcio {grpc.__version__}, {arguments.workers} threads", flush=True)
    print(f"serving on {arguments.listen.rsplit(':', 1)[0]}:{port}", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    server.stop(grace=None)


if __name__ == "__main__":
    # Before any thread is there, as those that come later inherit it: sigwait is to get the signals.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
