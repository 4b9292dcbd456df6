//! What was asked when: every request with the times of its arrival and its answer, and the longest chain of requests that waited for
//! each other.

use std::time::Duration;

use super::life::Millis;
use super::wire::Request;

/// A request and what became of it.
#[derive(Debug, Clone)]
pub struct Record {
    /// From 0, in the order of arrival.
    pub index: usize,
    /// From 1, among those of the operation.
    pub nth: u64,
    pub request: Request,
    /// Since the fake's start, in real time.
    pub arrived: Duration,
    /// When the answer left, in real time; `None`: there was none.
    pub answered: Option<Duration>,
    /// On the fake's clock.
    pub at: Millis,
    /// The HTTP status; 0: there was no answer.
    pub status: u16,
    /// The body of the answer.
    pub answer: String,
}

impl Record {
    /// One line: what, when, how it went.
    pub fn line(&self) -> String {
        let end = match self.answered {
            Some(at) => format!("{} after {} ms", self.status, (at - self.arrived).as_millis()),
            None => "no answer".to_owned(),
        };
        let at = self.arrived.as_millis();
        format!("#{} +{at} ms {}.{} {end}", self.index, self.request.service.as_str(), self.request.operation)
    }
}

/// The longest chain of requests that each arrived after the answer to the one before: what nobody can make faster by asking side
/// by side. `until`: only up to the first call of this operation, which is the end of the chain.
pub fn longest_chain<'a>(records: &'a [Record], until: Option<&str>) -> Vec<&'a Record> {
    let last = until.map(|until| {
        let last = records.iter().find(|it| it.request.operation == until);
        last.unwrap_or_else(|| panic!("there was no {until}"))
    });
    let mut sorted: Vec<&Record> =
        records.iter().filter(|it| last.is_none_or(|last| it.arrived <= last.arrived)).collect();
    sorted.sort_by_key(|it| it.arrived);
    // For each the length of the longest chain that ends there, and the link before it.
    let mut lengths: Vec<(usize, Option<usize>)> = Vec::new();
    for (index, record) in sorted.iter().enumerate() {
        let before = (0..index)
            .filter(|it| sorted[*it].answered.is_some_and(|answered| answered <= record.arrived))
            .max_by_key(|it| lengths[*it].0);
        lengths.push((1 + before.map_or(0, |it| lengths[it].0), before));
    }
    let mut link = match last {
        Some(last) => sorted.iter().position(|it| it.index == last.index),
        None => (0..lengths.len()).max_by_key(|it| lengths[*it].0),
    };
    let mut chain = Vec::new();
    while let Some(index) = link {
        chain.push(sorted[index]);
        link = lengths[index].1;
    }
    chain.reverse();
    chain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::wire::Service;

    fn record(index: usize, operation: &str, arrived: u64, answered: u64) -> Record {
        let request = Request {
            service: Service::Ecs,
            operation: operation.to_owned(),
            body: serde_json::Value::Null,
            headers: Vec::new(),
        };
        let (arrived, answered) = (Duration::from_millis(arrived), Some(Duration::from_millis(answered)));
        Record { index, nth: 1, request, arrived, answered, at: 0, status: 200, answer: String::new() }
    }

    #[test]
    fn a_chain_has_only_requests_that_waited() {
        let records = [
            record(0, "GetCallerIdentity", 0, 10),
            record(1, "DescribeServices", 0, 40),
            record(2, "ListTasks", 1, 5),
            record(3, "DescribeTasks", 6, 30),
            record(4, "DescribeTaskDefinition", 41, 50),
            record(5, "RunTask", 51, 60),
            record(6, "DescribeTasks", 61, 70),
        ];
        let names = |until| -> Vec<usize> { longest_chain(&records, until).iter().map(|it| it.index).collect() };
        assert_eq!(names(None), [2, 3, 4, 5, 6]);
        assert_eq!(names(Some("RunTask")), [2, 3, 4, 5]);
        assert_eq!(names(Some("DescribeServices")), [1]);
    }

    #[test]
    fn requests_side_by_side_make_no_chain() {
        let records = [record(0, "A", 0, 50), record(1, "B", 1, 20), record(2, "C", 2, 30)];
        assert_eq!(longest_chain(&records, None).len(), 1);
    }
}
