//! Which processors the server uses, and which of them carries which shard.

use std::fmt;

use super::error::ConfigError;
use super::setting::Value;

/// Up to this many processors all of them carry a shard, and the other threads float over the same ones.
const CPUS_ALL_SHARDS: usize = 4;
/// Above that, one processor in this many is left to the store and the control thread.
const CPUS_PER_FREE_CPU: usize = 8;
/// Highest processor number that a list may name, as Linux counts them.
const CPU_MAX: usize = rustix::thread::CpuSet::MAX_CPU - 1;

/// Processor numbers as people write them: `0-3,8`. Sorted, each once; empty means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuList(pub Vec<usize>);

impl Value for CpuList {
    fn read(text: &str) -> Result<Self, String> {
        let mut cpus = Vec::new();
        for part in text.split(',').map(str::trim).filter(|_| !text.trim().is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            match (cpu_number(first), cpu_number(last)) {
                (Some(first), Some(last)) if first <= last => cpus.extend(first..=last),
                _ => return Err(format!("processor numbers up to {CPU_MAX} like 0-3,8, or empty for all")),
            }
        }
        cpus.sort_unstable();
        cpus.dedup();
        Ok(Self(cpus))
    }

    fn show(&self) -> String {
        format!("\"{self}\"")
    }
}

/// Digits only: `parse` alone would take a sign.
fn cpu_number(text: &str) -> Option<usize> {
    let text = text.trim();
    let number = text.parse().ok()?;
    (text.bytes().all(|b| b.is_ascii_digit()) && number <= CPU_MAX).then_some(number)
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, run) in self.0.chunk_by(|a, b| a + 1 == *b).enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match run {
                [only] => write!(f, "{comma}{only}")?,
                [first, .., last] => write!(f, "{comma}{first}-{last}")?,
                [] => {}
            }
        }
        Ok(())
    }
}

/// The processors that this process may run on.
///
/// # Errors
/// What the system says.
pub fn allowed_cpus() -> Result<Vec<usize>, ConfigError> {
    let set = rustix::thread::sched_getaffinity(None).map_err(|errno| ConfigError::Affinity(errno.into()))?;
    Ok((0..=CPU_MAX).filter(|cpu| set.is_set(*cpu)).collect())
}

/// The processors that were asked for, or all that are allowed.
pub(super) fn usable(wanted: &CpuList, allowed: &[usize]) -> Result<Vec<usize>, ConfigError> {
    if wanted.0.is_empty() {
        return Ok(allowed.to_vec());
    }
    match wanted.0.iter().find(|cpu| !allowed.contains(cpu)) {
        Some(cpu) => Err(ConfigError::Cpu { cpu: *cpu, allowed: CpuList(allowed.to_vec()).to_string() }),
        None => Ok(wanted.0.clone()),
    }
}

/// How many shards a number of processors carries, if nobody says otherwise.
pub(super) fn shards_for(cpus: usize) -> usize {
    if cpus <= CPUS_ALL_SHARDS { cpus.max(1) } else { cpus - (cpus / CPUS_PER_FREE_CPU).max(1) }
}

/// The processor of each shard: the first ones carry one each, and what is left over is at the end.
pub(super) fn shard_cpus(cpus: &[usize], shards: usize) -> Vec<usize> {
    cpus.iter().copied().cycle().take(shards).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<usize> {
        CpuList::read(text).unwrap().0
    }

    #[test]
    fn lists_are_read_as_people_write_them() {
        assert!(read("").is_empty());
        assert_eq!(read("3"), [3]);
        assert_eq!(read("0-3,8"), [0, 1, 2, 3, 8]);
        assert_eq!(read("8, 1-2 ,2,0"), [0, 1, 2, 8]);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for wrong in ["a", "3-1", "1-", "-1", ",", "0,,1", "+1", "1.5", "99999999", "0-99999999"] {
            assert!(CpuList::read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_list_is_shown_as_it_can_be_read() {
        assert_eq!(CpuList(vec![0, 1, 2, 5, 7, 8]).to_string(), "0-2,5,7-8");
        assert_eq!(CpuList(vec![]).to_string(), "");
    }

    #[test]
    fn up_to_four_processors_all_carry_a_shard_and_then_one_in_eight_is_left() {
        let shards: Vec<usize> = [1, 2, 4, 5, 8, 15, 16, 64].into_iter().map(shards_for).collect();
        assert_eq!(shards, [1, 2, 4, 4, 7, 14, 14, 56]);
    }

    #[test]
    fn a_processor_that_is_not_allowed_is_named() {
        let wrong = usable(&CpuList(vec![0, 9]), &[0, 1, 2]).unwrap_err().to_string();
        assert!(wrong.contains("processor 9") && wrong.contains("0-2"), "{wrong}");
    }

    #[test]
    fn this_process_may_run_somewhere() {
        assert!(!allowed_cpus().unwrap().is_empty());
    }
}
