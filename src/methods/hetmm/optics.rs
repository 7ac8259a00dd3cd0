//! OPTICS (Ankerst et al., 1999): dense regions among points of which only the distances are known.
//!
//! The clusters are those of the paper's xi method, with scikit-learn's reading of it, which HETMM's authors used: its
//! correction of Definition 11 (4c) and the rule that a cluster's last point must have been reached from inside (Schubert and
//! Gertz, 2018). linfa-clustering's OPTICS stops at the reachability plot and makes no clusters of it.

use std::ops::RangeInclusive;

/// Distances between `n` points, `[n, n]`, symmetric.
#[derive(Clone, Copy, Debug)]
pub struct Distances<'a> {
    values: &'a [f32],
    points: usize,
}

impl<'a> Distances<'a> {
    /// Takes `[points, points]` distances.
    ///
    /// # Panics
    /// If there are not as many.
    pub fn new(values: &'a [f32], points: usize) -> Self {
        assert_eq!(values.len(), points * points, "distances between {points} points");
        Self { values, points }
    }

    fn from(&self, point: usize) -> &'a [f32] {
        &self.values[point * self.points..][..self.points]
    }
}

/// The points in the order in which they were reached.
#[derive(Debug)]
struct Plot {
    order: Vec<usize>,
    /// How far each was from those before it, in that order, and an infinity at the end.
    reachability: Vec<f32>,
    /// From where it was reached, in that order; none for the first.
    predecessor: Vec<Option<usize>>,
}

/// The cluster of each point; none for noise. `min_samples` points, the point itself among them, make a place dense.
pub fn clusters(distances: Distances<'_>, min_samples: usize, xi: f64) -> Vec<Option<usize>> {
    let mut labels = vec![None; distances.points];
    // Too few points are all noise.
    if distances.points < min_samples {
        return labels;
    }
    let plot = Plot::new(distances, min_samples);
    let mut count = 0;
    // Clusters come smallest first; a larger one around it is no cluster of its own.
    for cluster in plot.clusters(min_samples, 1.0 - xi as f32) {
        let members = &plot.order[cluster];
        if members.iter().all(|&point| labels[point].is_none()) {
            members.iter().for_each(|&point| labels[point] = Some(count));
            count += 1;
        }
    }
    labels
}

impl Plot {
    fn new(distances: Distances<'_>, min_samples: usize) -> Self {
        let n = distances.points;
        let core: Vec<f32> = (0..n)
            .map(|point| {
                let mut all = distances.from(point).to_vec();
                *all.select_nth_unstable_by(min_samples - 1, f32::total_cmp).1
            })
            .collect();
        let mut reach = vec![f32::INFINITY; n];
        let mut from = vec![None; n];
        let mut left: Vec<usize> = (0..n).collect();
        let (mut order, mut reachability, mut predecessor) = (Vec::new(), Vec::new(), Vec::new());
        while !left.is_empty() {
            // The nearest, the first of equals; `left` stays in order.
            let nearest =
                (1..left.len()).fold(0, |best, i| if reach[left[i]] < reach[left[best]] { i } else { best });
            let point = left.remove(nearest);
            order.push(point);
            reachability.push(reach[point]);
            predecessor.push(from[point]);
            let row = distances.from(point);
            for &other in &left {
                let distance = row[other].max(core[point]);
                if distance < reach[other] {
                    reach[other] = distance;
                    from[other] = Some(point);
                }
            }
        }
        reachability.push(f32::INFINITY);
        Self { order, reachability, predecessor }
    }

    /// The clusters as ranges of the order. `flat`, 1 - xi, is the share of a value that its neighbour must not exceed where the plot is steep.
    fn clusters(&self, min_samples: usize, flat: f32) -> Vec<RangeInclusive<usize>> {
        let plot = &self.reachability;
        let ratio: Vec<f32> = plot.windows(2).map(|pair| pair[0] / pair[1]).collect();
        let steep_up = |i: usize| ratio[i] <= flat;
        let steep_down = |i: usize| ratio[i] >= 1.0 / flat;
        let (up, down) = (|i: usize| ratio[i] < 1.0, |i: usize| ratio[i] > 1.0);
        let end_of = |start: usize, steep: &dyn Fn(usize) -> bool, against: &dyn Fn(usize) -> bool| {
            end_of_area(start, ratio.len(), min_samples, steep, against)
        };
        let mut found = Vec::new();
        let mut falls: Vec<Fall> = Vec::new();
        // The largest value since the end of the last steep area, and the place after that area.
        let (mut between, mut next) = (0f32, 0);
        for at in 0..ratio.len() {
            if at < next || !(steep_up(at) || steep_down(at)) {
                continue;
            }
            between = plot[next..=at].iter().copied().fold(between, f32::max);
            falls.retain(|fall| between <= plot[fall.start] * flat);
            falls.iter_mut().for_each(|fall| fall.between = fall.between.max(between));
            if steep_down(at) {
                let end = end_of(at, &steep_down, &up);
                falls.push(Fall { start: at, end, between: 0.0 });
                next = end + 1;
            } else {
                let end = end_of(at, &steep_up, &down);
                let inner = falls.iter().rev();
                found.extend(inner.filter_map(|fall| self.cluster(fall, at, end, min_samples, flat)));
                next = end + 1;
            }
            between = plot[next];
        }
        found
    }

    /// The cluster between a fall and the rise of `rise..=end`, if it is one (Definition 11).
    fn cluster(
        &self,
        fall: &Fall,
        rise: usize,
        end: usize,
        min_samples: usize,
        flat: f32,
    ) -> Option<RangeInclusive<usize>> {
        let plot = &self.reachability;
        let (left, right) = (plot[fall.start], plot[end + 1]);
        if right * flat < fall.between {
            return None;
        }
        // Where one side is much higher, the cluster begins or ends on the level of the other.
        let (mut first, mut last) = (fall.start, end);
        if left * flat >= right {
            while first < fall.end && plot[first + 1] > right {
                first += 1;
            }
        } else if right * flat >= left {
            while last > rise && plot[last - 1] > left {
                last -= 1;
            }
        }
        let last = self.reached_from_inside(first, last)?;
        let whole = last + 1 - first >= min_samples && first <= fall.end && last >= rise;
        whole.then_some(first..=last)
    }

    /// The last place of `first..=last` that was reached from inside, or that lies deeper than the first.
    fn reached_from_inside(&self, first: usize, last: usize) -> Option<usize> {
        (first + 1..=last).rev().find(|&last| {
            let inside = |from| self.order[first..last].contains(&from);
            self.reachability[first] > self.reachability[last] || self.predecessor[last].is_some_and(inside)
        })
    }
}

/// A steep downward area.
#[derive(Debug)]
struct Fall {
    start: usize,
    end: usize,
    /// The largest value after it.
    between: f32,
}

/// The last steep place of the area from `start` on: it ends where the plot goes `against` it, or goes along, but is not steep, for more than
/// `min_samples` places.
fn end_of_area(
    start: usize,
    length: usize,
    min_samples: usize,
    steep: &dyn Fn(usize) -> bool,
    against: &dyn Fn(usize) -> bool,
) -> usize {
    let (mut end, mut gentle) = (start, 0);
    for at in start..length {
        if steep(at) {
            (end, gentle) = (at, 0);
        } else if against(at) {
            break;
        } else {
            gentle += 1;
            if gentle > min_samples {
                break;
            }
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_line(points: &[f32]) -> Vec<f32> {
        points.iter().flat_map(|a| points.iter().map(move |b| (a - b).abs())).collect()
    }

    #[test]
    fn two_groups_and_points_apart() {
        // 20 ends the last group: the place from which the plot rises beyond its beginning belongs to it, with scikit-learn too.
        let points = [1.0, 1.1, 1.2, 1.15, 5.0, 5.1, 5.2, 5.05, 20.0, 40.0, 80.0];
        let found = clusters(Distances::new(&of_line(&points), points.len()), 3, 0.05);
        assert!(found[..4].iter().all(|&l| l.is_some() && l == found[0]), "{found:?}");
        assert!(found[4..8].iter().all(|&l| l.is_some() && l == found[4] && l != found[0]), "{found:?}");
        assert_eq!(found[9..], [None, None]);
    }

    #[test]
    fn equal_points_and_too_few_points_are_no_clusters_apart() {
        let same = clusters(Distances::new(&[0.0; 25], 5), 2, 0.05);
        assert!(same.iter().all(|&l| l == same[0]), "{same:?}");
        assert_eq!(clusters(Distances::new(&of_line(&[1.0, 2.0]), 2), 3, 0.05), [None, None]);
        assert!(clusters(Distances::new(&[], 0), 2, 0.05).is_empty());
    }
}
