//! The tests through the built binary: one test program, with a fake AWS, fake programs and a harness that runs the binary in a
//! world of its own.
#![expect(dead_code, reason = "the fake and the harness can do more than the tests of any one day use")]

mod adopt;
mod console;
mod ecs;
mod fake;
mod fake_tests;
mod gateway;
mod harness;
mod harness_tests;
mod host;
mod local;
mod publish;
mod readme;
mod real;
mod real_context;
mod real_docker;
mod real_ecs;
mod real_publish;
mod tidy;
