//! Pause points: something to do at a request, at an exact moment of it. The request goes on when it is done.

/// A moment of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It is here, and nothing has happened.
    Arrived,
    /// It has had its effect, and the answer hasn't left.
    Acted,
    /// The answer has left (or the connection was closed instead).
    Answered,
}

/// Which request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Point {
    /// By its number, from 0, whatever it is.
    Request(usize),
    /// By operation and number among its calls, from 1.
    Call(String, u64),
}

/// Something to do at a moment of a request, once.
pub struct Hook {
    pub point: Point,
    pub moment: Moment,
    pub run: Box<dyn FnOnce() + Send>,
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hook").field("point", &self.point).field("moment", &self.moment).finish_non_exhaustive()
    }
}
