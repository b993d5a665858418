//! A belt of jobs that a reader and its threads share: the reader puts jobs on,
//! threads do them, and the reader takes the results off in the order of the jobs.
//! So it reads the next rows while the last ones are checked, and what is found does
//! not depend on the number of threads.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Calls `feed` with a belt whose jobs `work` does on as many threads as there are
/// `states`, one each; the first is the calling thread, which works only while the
/// belt is full. Threads are started when there is a second job, inside `starting`,
/// which calls what it is given.
pub fn with_conveyor<J: Send, R: Send, S: Send, T>(
    states: Vec<S>,
    work: impl Fn(&mut S, J) -> R + Sync,
    starting: impl Fn(&mut dyn FnMut()),
    feed: impl FnOnce(&mut Conveyor<J, R>) -> T,
) -> T {
    const JOBS_A_THREAD: usize = 2;
    let belt = Belt::default();
    let limit = if states.len() > 1 { states.len() * JOBS_A_THREAD } else { 0 };
    std::thread::scope(|scope| {
        // However this ends, the threads do.
        let _ended = Ended(&belt);
        let (belt, work) = (&belt, &work);
        let mut states = states.into_iter();
        let mut own = states.next();
        let mut start = move || {
            starting(&mut || {
                for mut state in states.by_ref() {
                    // A thread that cannot be had is one fewer.
                    let _ = std::thread::Builder::new().spawn_scoped(scope, move || {
                        let _lost = Lost(belt);
                        while let Some((number, job)) = belt.next_job() {
                            belt.put_result(number, work(&mut state, job));
                        }
                    });
                }
            });
        };
        let mut work_here = |job| own.as_mut().map(|state| work(state, job));
        feed(&mut Conveyor { belt, start: &mut start, work: &mut work_here, limit, is_started: false })
    })
}

/// The reader's end of the belt.
pub struct Conveyor<'a, J, R> {
    belt: &'a Belt<J, R>,
    start: &'a mut dyn FnMut(),
    work: &'a mut dyn FnMut(J) -> Option<R>,
    /// How many jobs may wait for their results to be taken.
    limit: usize,
    is_started: bool,
}

impl<J, R> Conveyor<'_, J, R> {
    /// Puts a job on the belt.
    pub fn put(&mut self, job: J) {
        let mut items = self.belt.lock();
        let number = items.first + items.results.len();
        items.results.push_back(None);
        items.jobs.push_back((number, job));
        let is_second = items.results.len() > 1;
        drop(items);
        if is_second && !self.is_started && self.limit > 0 {
            self.is_started = true;
            (self.start)();
        }
        self.belt.changed.notify_all();
    }

    /// The next result, if it is there or the belt is full; then it is waited for.
    pub fn take(&mut self) -> Option<R> {
        self.take_above(self.limit)
    }

    /// The next result, waited for; none if none is left.
    pub fn take_last(&mut self) -> Option<R> {
        self.take_above(0)
    }

    fn take_above(&mut self, limit: usize) -> Option<R> {
        let mut items = self.belt.lock();
        loop {
            if let Some(result) = items.take_first() {
                return Some(result);
            }
            if items.results.len() <= limit || items.is_broken {
                return None;
            }
            if let Some((number, job)) = items.jobs.pop_front() {
                drop(items);
                if let Some(result) = (self.work)(job) {
                    self.belt.put_result(number, result);
                }
                items = self.belt.lock();
            } else {
                items = self.belt.changed.wait(items).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

struct Belt<J, R> {
    items: Mutex<Items<J, R>>,
    changed: Condvar,
}

struct Items<J, R> {
    /// Jobs that nobody has begun, by number.
    jobs: VecDeque<(usize, J)>,
    /// The results from number `first` on; none while a job is not done.
    results: VecDeque<Option<R>>,
    first: usize,
    /// No more jobs come.
    is_ended: bool,
    /// A thread was lost, and its job with it: the scope will say so.
    is_broken: bool,
}

impl<J, R> Default for Belt<J, R> {
    fn default() -> Self {
        let items = Items {
            jobs: VecDeque::new(),
            results: VecDeque::new(),
            first: 0,
            is_ended: false,
            is_broken: false,
        };
        Belt { items: Mutex::new(items), changed: Condvar::new() }
    }
}

impl<J, R> Items<J, R> {
    fn take_first(&mut self) -> Option<R> {
        let result = self.results.front_mut()?.take()?;
        self.results.pop_front();
        self.first += 1;
        Some(result)
    }
}

impl<J, R> Belt<J, R> {
    fn lock(&self) -> MutexGuard<'_, Items<J, R>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job, waited for; none when the belt has ended.
    fn next_job(&self) -> Option<(usize, J)> {
        let mut items = self.lock();
        loop {
            if items.is_ended {
                return None;
            }
            if let Some(job) = items.jobs.pop_front() {
                return Some(job);
            }
            items = self.changed.wait(items).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn put_result(&self, number: usize, result: R) {
        let mut items = self.lock();
        let place = number.wrapping_sub(items.first);
        if let Some(slot) = items.results.get_mut(place) {
            *slot = Some(result);
        }
        drop(items);
        self.changed.notify_all();
    }
}

struct Ended<'a, J, R>(&'a Belt<J, R>);

impl<J, R> Drop for Ended<'_, J, R> {
    fn drop(&mut self) {
        self.0.lock().is_ended = true;
        self.0.changed.notify_all();
    }
}

struct Lost<'a, J, R>(&'a Belt<J, R>);

impl<J, R> Drop for Lost<'_, J, R> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().is_broken = true;
            self.0.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::with_conveyor;

    #[test]
    fn results_come_in_the_order_of_the_jobs() {
        for threads in 1..5 {
            let work = |sum: &mut u64, job: u64| {
                *sum += job;
                std::thread::sleep(std::time::Duration::from_micros(job * 7919 % 300));
                job * job
            };
            let squares = with_conveyor(
                vec![0; threads],
                work,
                |start| start(),
                |belt| {
                    let mut squares = Vec::new();
                    for job in 0..100 {
                        belt.put(job);
                        while let Some(square) = belt.take() {
                            squares.push(square);
                        }
                    }
                    while let Some(square) = belt.take_last() {
                        squares.push(square);
                    }
                    squares
                },
            );
            assert_eq!(squares, (0..100).map(|job| job * job).collect::<Vec<u64>>());
        }
    }

    #[test]
    fn jobs_that_nobody_waits_for_are_left() {
        let work = |(): &mut (), job: u32| job;
        let first = with_conveyor(
            vec![(); 3],
            work,
            |start| start(),
            |belt| {
                (0..5).for_each(|job| belt.put(job));
                belt.take_last()
            },
        );
        assert_eq!(first, Some(0));
    }
}
