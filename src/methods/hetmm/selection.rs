//! Pixel-level template selection (PTS): the patches of N images at one place reduced to K.

use super::Clustering;
use super::optics::{Distances, clusters};
use ndarray_linfa::ArrayView2;

/// The `count` of `images` vectors, `[images, channels]` of unit length, that stand for all of them, in the order of selection; all if
/// there are not more.
///
/// First the middle of each dense region, or of all where there is none, then one after the other whichever is least like those chosen
/// so far: the hard-nominal examples (Algorithm 1).
pub fn select(vectors: &[f32], images: usize, count: usize, clustering: &Clustering) -> Vec<usize> {
    let products = products(vectors, images);
    let distances: Vec<f32> = products.iter().map(|product| 1.0 - product).collect();
    let least = clustering.min_samples(images, count);
    let labels = clusters(Distances::new(&distances, images), least, clustering.xi);
    choose(&products, &labels, count)
}

/// The inner products of all pairs of vectors, `[images, images]`.
pub fn products(vectors: &[f32], images: usize) -> Vec<f32> {
    let Some(channels) = vectors.len().checked_div(images) else { return Vec::new() };
    let Ok(vectors) = ArrayView2::from_shape((images, channels), vectors) else { return Vec::new() };
    vectors.dot(&vectors.t()).into_iter().collect()
}

/// Chooses `count` of the images whose inner products, `[images, images]`, and clusters are known.
pub fn choose(products: &[f32], labels: &[Option<usize>], count: usize) -> Vec<usize> {
    let images = labels.len();
    let row = |image: usize| &products[image * images..][..images];
    let mut chosen: Vec<usize> = Vec::with_capacity(count.min(images));
    let mut seen: Vec<usize> = Vec::new();
    for label in labels.iter().flatten().copied() {
        if chosen.len() == count {
            break;
        }
        if !seen.contains(&label) {
            seen.push(label);
            let members = (0..images).filter(|&image| labels[image] == Some(label));
            chosen.extend(middle(members, row));
        }
    }
    if chosen.is_empty() {
        chosen.extend(middle(0..images, row).filter(|_| count > 0));
    }
    let mut likeness: Vec<f32> =
        (0..images).map(|image| chosen.iter().map(|&other| row(other)[image]).sum()).collect();
    let mut left: Vec<usize> = (0..images).filter(|image| !chosen.contains(image)).collect();
    while chosen.len() < count && !left.is_empty() {
        let least = (1..left.len()).fold(
            0,
            |best, i| {
                if likeness[left[i]] < likeness[left[best]] { i } else { best }
            },
        );
        let image = left.remove(least);
        likeness.iter_mut().zip(row(image)).for_each(|(sum, product)| *sum += product);
        chosen.push(image);
    }
    chosen
}

/// The member with the largest sum of products with all members, the first of equals.
fn middle<'a>(
    members: impl Iterator<Item = usize> + Clone,
    row: impl Fn(usize) -> &'a [f32],
) -> Option<usize> {
    let sum = |image: usize| members.clone().map(|other| row(image)[other]).sum::<f32>();
    let all = members.clone().map(|image| (image, sum(image)));
    all.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(image, _)| image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_there_are_and_no_more() {
        let vectors = [1.0, 0.0, 0.0, 1.0, 0.6, 0.8];
        assert_eq!(select(&vectors, 3, 5, &Clustering::default()).len(), 3);
        assert_eq!(select(&vectors, 3, 1, &Clustering::default()), [2], "the one between the others");
        assert!(choose(&[], &[], 2).is_empty());
    }

    #[test]
    fn equal_images_are_chosen_once_each() {
        let mut found = select(&[1.0, 0.0].repeat(6), 6, 4, &Clustering::default());
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), 4);
    }
}
