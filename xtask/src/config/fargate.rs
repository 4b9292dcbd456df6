//! The sizes that Fargate offers. Checked where tasks.toml itself says FARGATE; where the service says it, by the plan.

/// cpu, the least memory, the most, and the step between.
const SIZES: &[(u32, u32, u32, u32)] = &[
    (256, 512, 2048, 1024), // 512 is there beside the steps of 1024
    (512, 1024, 4096, 1024),
    (1024, 2048, 8192, 1024),
    (2048, 4096, 16384, 1024),
    (4096, 8192, 30720, 1024),
    (8192, 16384, 61440, 4096),
    (16384, 32768, 122_880, 8192),
];

/// Which of the two values is the wrong one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrongSize {
    /// `cpu`: no size has it.
    Cpu,
    /// `memory`: no size has it, or none with that cpu.
    Memory,
}

/// Why Fargate has no such size, and what it has instead. Either may be unknown; `None`: nothing is wrong with what is known.
pub fn impossible(cpu: Option<u32>, memory: Option<u32>) -> Option<(WrongSize, String, String)> {
    let row = cpu.map(|cpu| SIZES.iter().find(|it| it.0 == cpu));
    match (row, cpu, memory) {
        (Some(None), Some(cpu), _) => {
            let all: Vec<String> = SIZES.iter().map(|it| it.0.to_string()).collect();
            Some((
                WrongSize::Cpu,
                format!("Fargate has no size with cpu {cpu}"),
                format!("cpu is one of {}", all.join(", ")),
            ))
        }
        (Some(Some(row)), Some(cpu), Some(memory)) if !fits(row, memory) => {
            let hint = match *row {
                (256, ..) => "for cpu 256, memory is 512, 1024 or 2048".to_owned(),
                (_, least, most, step) => format!("for cpu {cpu}, memory is {least} to {most} in steps of {step}"),
            };
            Some((WrongSize::Memory, format!("Fargate has no size with cpu {cpu} and memory {memory}"), hint))
        }
        (None, _, Some(memory)) if !SIZES.iter().any(|it| fits(it, memory)) => Some((
            WrongSize::Memory,
            format!("Fargate has no size with memory {memory}"),
            "memory is 512, or 1024 to 122880 in the steps that go with the cpu".to_owned(),
        )),
        _ => None,
    }
}

fn fits(&(_, least, most, step): &(u32, u32, u32, u32), memory: u32) -> bool {
    memory == least || ((least..=most).contains(&memory) && memory.is_multiple_of(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fargate_sizes() {
        for (cpu, memory, expected) in [
            (Some(256), Some(512), None),
            (Some(256), Some(2048), None),
            (Some(256), Some(1536), Some(WrongSize::Memory)),
            (Some(256), Some(4096), Some(WrongSize::Memory)),
            (Some(512), Some(512), Some(WrongSize::Memory)),
            (Some(1024), Some(8192), None),
            (Some(1024), Some(8193), Some(WrongSize::Memory)),
            (Some(4096), Some(30720), None),
            (Some(4096), Some(31744), Some(WrongSize::Memory)),
            (Some(8192), Some(20480), None),
            (Some(8192), Some(17408), Some(WrongSize::Memory)),
            (Some(16384), Some(122_880), None),
            (Some(300), Some(512), Some(WrongSize::Cpu)),
            (Some(300), None, Some(WrongSize::Cpu)),
            (Some(1024), None, None),
            (None, Some(512), None),
            (None, Some(513), Some(WrongSize::Memory)),
            (None, None, None),
        ] {
            assert_eq!(impossible(cpu, memory).map(|it| it.0), expected, "{cpu:?} {memory:?}");
        }
    }
}
