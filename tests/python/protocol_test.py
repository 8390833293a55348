#!/usr/bin/python3
"""Everything around Attend, as a stranger's client sees it: AttendStream, server info, health, reflection, metrics,
deadlines, unknown methods."""

import sys
import unittest
import urllib.request

import fixture  # First: it skips the test where a module is missing.

import grpc
import numpy as np
from google.protobuf import descriptor_pb2

import attention_numpy

SERVICE = "flashcore.v1.AttentionService"
INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT.value[0]


class ProtocolTest(unittest.TestCase):
    arguments = None
    messages = None

    @classmethod
    def setUpClass(cls):
        cls.pb, cls.health_pb, cls.reflection_pb = cls.messages
        cls.server = cls.enter_for_class(fixture.Server(cls.arguments))
        cls.channel = cls.enter_for_class(cls.server.channel())
        cls.rng = np.random.default_rng(cls.arguments.seed)

    @classmethod
    def enter_for_class(cls, context):
        """unittest.TestCase.enterClassContext, which is newer than Python 3.10."""
        value = context.__enter__()
        cls.addClassCleanup(context.__exit__, None, None, None)
        return value

    def unary(self, method, request, response_type, **call):
        stub = self.channel.unary_unary(method, type(request).SerializeToString, response_type.FromString)
        return stub(request, timeout=30, wait_for_ready=True, **call)

    def info(self):
        return self.unary(f"/{SERVICE}/GetServerInfo", self.pb.GetServerInfoRequest(), self.pb.GetServerInfoResponse)

    def random_request(self):
        return attention_numpy.random_request(self.rng, self.pb.AttendRequest(), list(self.info().dtypes),
                                              longest=60, max_work=1e6)

    def assert_code(self, code, method, request, response_type, **call):
        with self.assertRaises(grpc.RpcError) as caught:
            self.unary(method, request, response_type, **call)
        self.assertEqual(caught.exception.code(), code, caught.exception.details())

    def test_server_info_says_what_is_accepted(self):
        info = self.info()
        self.assertRegex(info.version, r"^\d+\.\d+\.\d+")
        self.assertIn(info.backend, ("cpu", "cuda", "reference"))
        self.assertTrue(info.device and info.kernel)
        self.assertIn(self.pb.DTYPE_FP16, info.dtypes)
        self.assertEqual((info.min_head_dim, info.max_head_dim, info.head_dim_multiple), (8, 256, 8))
        self.assertEqual(info.limits.max_message_bytes, fixture.MAX_MESSAGE_BYTES)
        for limit in info.limits.DESCRIPTOR.fields:
            self.assertGreater(getattr(info.limits, limit.name), 0, limit.name)

    def test_health(self):
        check = "/grpc.health.v1.Health/Check"
        for service in ("", SERVICE):
            response = self.unary(check, self.health_pb.HealthCheckRequest(service=service),
                                  self.health_pb.HealthCheckResponse)
            self.assertEqual(response.status, self.health_pb.HealthCheckResponse.SERVING, service)
        self.assert_code(grpc.StatusCode.NOT_FOUND, check, self.health_pb.HealthCheckRequest(service="nobody"),
                         self.health_pb.HealthCheckResponse)

    def test_stream_answers_everything_and_a_bad_request_fails_alone(self):
        sent = {}
        for number in range(60):
            item = self.pb.AttendStreamRequest(id=number * 7 + 1, request=self.random_request())
            if number % 5 == 2:
                item.request.q.data += b"\0"
            sent[item.id] = item
        stub = self.channel.stream_stream(f"/{SERVICE}/AttendStream", self.pb.AttendStreamRequest.SerializeToString,
                                          self.pb.AttendStreamResponse.FromString)
        answers = {answer.id: answer for answer in stub(iter(sent.values()), timeout=60)}
        self.assertEqual(answers.keys(), sent.keys())
        for number, identity in enumerate(sent):
            answer = answers[identity]
            if number % 5 == 2:
                self.assertEqual(answer.WhichOneof("result"), "error")
                self.assertEqual(answer.error.code, INVALID_ARGUMENT)
                self.assertIn("q.data", answer.error.message)
            else:
                self.assertEqual(answer.WhichOneof("result"), "response", answer.error)
                self.assertIsNone(attention_numpy.mismatch(sent[identity].request, answer.response)[0])

    def test_stream_without_requests_ends_well(self):
        stub = self.channel.stream_stream(f"/{SERVICE}/AttendStream", self.pb.AttendStreamRequest.SerializeToString,
                                          self.pb.AttendStreamResponse.FromString)
        self.assertEqual(list(stub(iter(()), timeout=30)), [])

    def test_stream_survives_garbage_or_ends_with_a_status(self):
        stub = self.channel.stream_stream(f"/{SERVICE}/AttendStream")
        for garbage in (b"\xff" * 20, b"\x12\x05ab", b"\x08"):
            try:
                for raw in stub(iter([garbage]), timeout=30):
                    answer = self.pb.AttendStreamResponse.FromString(raw)
                    self.assertEqual(answer.error.code, INVALID_ARGUMENT)
            except grpc.RpcError as error:
                self.assertEqual(error.code(), grpc.StatusCode.INVALID_ARGUMENT)

    def test_errors_name_the_field(self):
        request = self.random_request()
        request.k.shape[3] += 1
        with self.assertRaises(grpc.RpcError) as caught:
            self.unary(f"/{SERVICE}/Attend", request, self.pb.AttendResponse)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertRegex(caught.exception.details(), r"^k\.")

    def test_unknown_method_is_unimplemented(self):
        self.assert_code(grpc.StatusCode.UNIMPLEMENTED, f"/{SERVICE}/Guess", self.pb.GetServerInfoRequest(),
                         self.pb.GetServerInfoResponse)

    def test_an_expired_deadline_is_reported_as_such(self):
        stub = self.channel.unary_unary(f"/{SERVICE}/Attend", self.pb.AttendRequest.SerializeToString,
                                        self.pb.AttendResponse.FromString)
        with self.assertRaises(grpc.RpcError) as caught:
            # In the past: gRPC counts in milliseconds, and a quick server answers within the first one.
            stub(self.random_request(), timeout=-1)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)

    def reflect(self, **request):
        stub = self.channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                                          self.reflection_pb.ServerReflectionRequest.SerializeToString,
                                          self.reflection_pb.ServerReflectionResponse.FromString)
        return next(stub(iter([self.reflection_pb.ServerReflectionRequest(**request)]), timeout=30))

    def test_reflection_serves_the_contract(self):
        services = self.reflect(list_services="*").list_services_response.service
        self.assertIn(SERVICE, [service.name for service in services])
        files = self.reflect(file_containing_symbol=SERVICE).file_descriptor_response.file_descriptor_proto
        served = descriptor_pb2.FileDescriptorProto.FromString(files[0])
        own = descriptor_pb2.FileDescriptorProto()
        self.pb.DESCRIPTOR.CopyToProto(own)
        self.assertEqual(served.message_type, own.message_type)
        self.assertEqual(served.service, own.service)

    def test_metrics_count_requests(self):
        self.unary(f"/{SERVICE}/Attend", self.random_request(), self.pb.AttendResponse)
        # Straight to the server, whatever proxy the environment names.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{self.server.metrics_address}/metrics", timeout=30) as response:
            text = response.read().decode()
        counted = [line for line in text.splitlines() if line.startswith("flashcore_") and 'code="OK"' in line]
        self.assertTrue(any(float(line.rsplit(" ", 1)[1]) > 0 for line in counted), counted)


def main():
    ProtocolTest.arguments = fixture.parse_arguments(__doc__, default_count=0)
    ProtocolTest.messages = fixture.load_messages(ProtocolTest.arguments.protoc)
    unittest.main(argv=[sys.argv[0]], verbosity=2)


if __name__ == "__main__":
    main()
