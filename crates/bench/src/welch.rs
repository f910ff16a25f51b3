//! Whether two kinds of input take the same time: Welch's t over interleaved samples, after dudect
//! (Reparaz, Balasch, Verbauwhede: *Dude, is my code constant time?*, 2017).

/// Above this |t| two means differ, by dudect's convention.
pub const THRESHOLD: f64 = 4.5;

/// Part of the slowest samples that is left out: interrupts, not the work.
const CROPPED: f64 = 0.1;

/// Two classes of samples in nanoseconds, taken alternately in a random order.
#[derive(Debug, Clone, Default)]
pub struct Classes {
    samples: [Vec<f64>; 2],
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Welch {
    /// Samples that count, of both classes.
    pub samples: usize,
    /// Mean of each class, in nanoseconds.
    pub means: [f64; 2],
    /// Welch's t.
    pub t: f64,
    /// The smallest difference of the means that would have been seen, in nanoseconds.
    pub resolution: f64,
}

impl Classes {
    /// Adds a sample of class 0 or 1.
    pub fn push(&mut self, class: bool, nanos: f64) {
        let [zero, one] = &mut self.samples;
        if class { one.push(nanos) } else { zero.push(nanos) }
    }

    /// Leaves out the slowest tenth of all samples together, and compares the rest; none with fewer
    /// than two of a class.
    #[must_use]
    pub fn compare(&self) -> Option<Welch> {
        let mut all: Vec<f64> = self.samples.iter().flatten().copied().collect();
        all.sort_unstable_by(f64::total_cmp);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts of samples"
        )]
        let keep = (all.len() as f64 * (1.0 - CROPPED)).ceil() as usize;
        let limit = *all.get(keep.checked_sub(1)?)?;
        let [zero, one] = self.samples.each_ref().map(|samples| moments(samples, limit));
        let (zero, one) = (zero?, one?);
        let error = (zero.variance / zero.count + one.variance / one.count).sqrt();
        Some(Welch {
            samples: keep,
            means: [zero.mean, one.mean],
            t: (zero.mean - one.mean) / error,
            resolution: THRESHOLD * error,
        })
    }
}

struct Moments {
    count: f64,
    mean: f64,
    variance: f64,
}

fn moments(samples: &[f64], limit: f64) -> Option<Moments> {
    let kept: Vec<f64> = samples.iter().copied().filter(|sample| *sample <= limit).collect();
    if kept.len() < 2 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of samples")]
    let count = kept.len() as f64;
    let mean = kept.iter().sum::<f64>() / count;
    let squares: f64 = kept.iter().map(|sample| (sample - mean).powi(2)).sum();
    Some(Moments { count, mean, variance: squares / (count - 1.0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two classes around 1000 ns, one `shift` slower.
    fn classes(shift: f64) -> Classes {
        let mut classes = Classes::default();
        for number in 0..2000_u32 {
            let noise = f64::from(number * 7919 % 101);
            classes.push(false, 1000.0 + noise);
            classes.push(true, 1000.0 + noise + shift);
        }
        classes
    }

    #[test]
    fn equal_classes_do_not_differ_and_shifted_ones_do() {
        let same = classes(0.0).compare().unwrap();
        assert!(same.t.abs() < 0.1, "{same:?}");
        assert_eq!(same.samples, 3600);
        let other = classes(20.0).compare().unwrap();
        assert!(other.t < -THRESHOLD, "{other:?}");
        assert!(other.resolution < 20.0);
    }

    #[test]
    fn too_few_samples_say_nothing() {
        let mut classes = Classes::default();
        assert_eq!(classes.compare(), None);
        classes.push(true, 1.0);
        assert_eq!(classes.compare(), None);
    }

    #[test]
    fn what_an_interrupt_adds_is_left_out() {
        let mut disturbed = classes(0.0);
        for _ in 0..50 {
            disturbed.push(true, 1e9);
        }
        assert!(disturbed.compare().unwrap().t.abs() < THRESHOLD);
    }
}
