//! The tests through the built binary: one test program, with a fake AWS, fake programs and a harness that runs the binary in a
//! world of its own.
#![expect(dead_code, reason = "the fake and the harness can do more than the tests of any one day use")]

mod ecs;
mod fake;
mod fake_tests;
mod harness;
mod harness_tests;
mod tidy;
