//! Cholesky factors of small symmetric matrices and their inverses, in f64.
//!
//! Tens of thousands of matrices of a few hundred rows are factored in a fit, one on each core: what counts is that the inner loops
//! run over contiguous rows in vectors, which general libraries leave undone at this size.

use super::simd::wide;

/// Fills `inverse` with the inverse `W` of the lower Cholesky factor `L` of `matrix`, `[n, n]` (`L L' = matrix`): `|W x|^2` is
/// `x' matrix^-1 x`. The factor takes the place of the matrix's lower triangle, which alone is read, and above the diagonal of the inverse
/// are zeros. Whether that could be: not if the matrix is not positive definite.
///
/// # Panics
/// If there are not `n * n` values.
pub fn inverse_factor(matrix: &mut [f64], n: usize, inverse: &mut Vec<f64>) -> bool {
    assert_eq!(matrix.len(), n * n, "a matrix of {n} rows and columns");
    let mut positive = false;
    factor(matrix, n, &mut positive);
    inverse.clear();
    inverse.resize(n * n, 0.0);
    if positive {
        invert(matrix, n, inverse);
    }
    positive
}

/// `x' matrix^-1 x` for `matrix`, `[n, n]`, whose lower triangle alone is read, and replaced by its factor; none if it is not positive
/// definite.
///
/// # Panics
/// If the lengths do not fit.
pub fn quadratic_form(matrix: &mut [f64], x: &[f64]) -> Option<f64> {
    let n = x.len();
    assert_eq!(matrix.len(), n * n, "a matrix of {n} rows and columns");
    let mut positive = false;
    factor(matrix, n, &mut positive);
    let mut solved = vec![0.0; n];
    positive.then(|| {
        for (i, row) in matrix.chunks_exact(n).enumerate() {
            solved[i] = (x[i] - dot(&row[..i], &solved[..i])) / row[i];
        }
        dot(&solved, &solved)
    })
}

wide! {
    /// Replaces the lower triangle by the factor, row by row.
    fn factor(matrix: &mut [f64], n: usize, positive: &mut bool) {
        *positive = false;
        for i in 0..n {
            let (above, rest) = matrix.split_at_mut(i * n);
            let row = &mut rest[..n];
            for (j, other) in above.chunks_exact(n).enumerate() {
                row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
            }
            let square = row[i] - dot(&row[..i], &row[..i]);
            // Not a number is not positive either.
            if !(square > 0.0 && square.is_finite()) {
                return;
            }
            row[i] = square.sqrt();
        }
        *positive = true;
    }
}

wide! {
    /// Fills `inverse`, zeros, with the inverse of the lower triangle: row `i` is `(e_i - sum over k < i of L_ik row_k) / L_ii`.
    fn invert(lower: &[f64], n: usize, inverse: &mut [f64]) {
        for (i, row) in lower.chunks_exact(n).enumerate() {
            let (above, rest) = inverse.split_at_mut(i * n);
            let out = &mut rest[..n];
            for (k, other) in above.chunks_exact(n).enumerate() {
                let factor = row[k];
                for (out, other) in out[..=k].iter_mut().zip(other) {
                    *out -= factor * other;
                }
            }
            out[i] = 1.0;
            for out in &mut out[..=i] {
                *out /= row[i];
            }
        }
    }
}

/// Sums that run side by side, so that they fit a vector and none waits for the last.
const LANES: usize = 16;

#[inline(always)]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `A A' + I`, positive definite.
    fn matrix(values: &[f64], n: usize) -> Vec<f64> {
        let row = |i: usize| &values[i * n..][..n];
        let product = |i: usize, j: usize| row(i).iter().zip(row(j)).map(|(a, b)| a * b).sum::<f64>();
        (0..n * n).map(|at| product(at / n, at % n) + if at / n == at % n { 1.0 } else { 0.0 }).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn the_factor_whitens(n in 1usize..40, values in proptest::collection::vec(-1f64..1.0, 1600)) {
            let matrix = matrix(&values[..n * n], n);
            let mut inverse = Vec::new();
            prop_assert!(inverse_factor(&mut matrix.clone(), n, &mut inverse));
            // W matrix W' is the identity.
            for i in 0..n {
                let image: Vec<f64> = (0..n)
                    .map(|c| (0..=i).map(|k| inverse[i * n + k] * matrix[k * n + c]).sum())
                    .collect();
                for j in 0..n {
                    let found: f64 = (0..=j).map(|k| image[k] * inverse[j * n + k]).sum();
                    prop_assert!((found - f64::from(u8::from(i == j))).abs() < 1e-9, "{i} {j} {found}");
                }
                prop_assert!(inverse[i * n + i + 1..(i + 1) * n].iter().all(|&v| v == 0.0));
            }
            let x = &values[..n];
            let whitened = inverse.chunks_exact(n).map(|row| dot(row, x).powi(2)).sum::<f64>();
            prop_assert!((quadratic_form(&mut matrix.clone(), x).unwrap() - whitened).abs() < 1e-9);
        }
    }

    #[test]
    fn what_is_not_positive_definite_has_no_factor() {
        for mut matrix in [[0.0; 4], [1.0, 2.0, 2.0, 1.0], [f64::NAN, 0.0, 0.0, 1.0]] {
            assert!(!inverse_factor(&mut matrix, 2, &mut Vec::new()), "{matrix:?}");
        }
        assert!(quadratic_form(&mut [-1.0], &[1.0]).is_none());
    }
}
