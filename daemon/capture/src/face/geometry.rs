//! Points, lines and rectangles in the plane of a picture: x to the right, y down, in pixels.

/// A point or a direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

impl Point {
    pub(super) fn new(x: f64, y: f64) -> Self {
        Self { x, y }
    }

    /// The unit vector turned clockwise from "to the right" by an angle in radians.
    pub(super) fn direction(angle: f64) -> Self {
        let (sin, cos) = angle.sin_cos();
        Self::new(cos, sin)
    }

    /// This direction turned clockwise by a right angle.
    pub(super) fn turned(self) -> Self {
        Self::new(-self.y, self.x)
    }

    pub(super) fn dot(self, other: Self) -> f64 {
        self.x * other.x + self.y * other.y
    }

    pub(super) fn cross(self, other: Self) -> f64 {
        self.x * other.y - self.y * other.x
    }

    pub(super) fn distance(self, other: Self) -> f64 {
        (self - other).dot(self - other).sqrt()
    }

    /// The point at a share of the way to another.
    pub(super) fn towards(self, other: Self, share: f64) -> Self {
        self + (other - self) * share
    }
}

impl std::ops::Add for Point {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::new(self.x + other.x, self.y + other.y)
    }
}

impl std::ops::Sub for Point {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self::new(self.x - other.x, self.y - other.y)
    }
}

impl std::ops::Mul<f64> for Point {
    type Output = Self;
    fn mul(self, factor: f64) -> Self {
        Self::new(self.x * factor, self.y * factor)
    }
}

/// A straight line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) point: Point,
    /// Of length 1.
    pub(super) direction: Point,
}

impl Line {
    /// Where two lines meet; none if they are all but parallel.
    pub(super) fn meet(self, other: Self) -> Option<Point> {
        let cross = self.direction.cross(other.direction);
        if cross.abs() < 1e-3 {
            return None;
        }
        let along = (other.point - self.point).cross(other.direction) / cross;
        Some(self.point + self.direction * along)
    }

    /// The angle between two lines, radians, 0 to π/2.
    pub(super) fn angle_to(self, other: Self) -> f64 {
        let cross = self.direction.cross(other.direction).abs();
        cross.atan2(self.direction.dot(other.direction).abs())
    }
}

/// A rectangle by its corners, clockwise from the top left, where "top" is the side nearest to horizontal
/// with the smaller y.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quad(pub(super) [Point; 4]);

impl Quad {
    /// Mean of the upper and the lower side's length.
    pub(super) fn width(&self) -> f64 {
        let [a, b, c, d] = self.0;
        f64::midpoint(a.distance(b), d.distance(c))
    }

    /// Mean of the left and the right side's length.
    pub(super) fn height(&self) -> f64 {
        let [a, b, c, d] = self.0;
        f64::midpoint(a.distance(d), b.distance(c))
    }

    /// How far it is turned clockwise, radians.
    pub(super) fn tilt(&self) -> f64 {
        let [a, b, c, d] = self.0;
        let along = (b - a) + (c - d);
        along.y.atan2(along.x)
    }

    /// Whether a point lies inside, or outside by no more than a margin.
    pub(super) fn holds(&self, point: Point, margin: f64) -> bool {
        let [a, b, c, d] = self.0;
        [(a, b), (b, c), (c, d), (d, a)].into_iter().all(|(from, to)| {
            let along = to - from;
            let length = along.dot(along).sqrt().max(f64::EPSILON);
            along.cross(point - from) / length >= -margin
        })
    }

    /// The same rectangle on another grid.
    pub(super) fn map(&self, place: impl Fn(Point) -> Point) -> Self {
        Self(self.0.map(place))
    }
}

/// The smallest rectangle around some points; none for fewer than three that are not on a line.
pub(super) fn smallest_rectangle(points: &[Point]) -> Option<Quad> {
    let hull = convex_hull(points);
    if hull.len() < 3 {
        return None;
    }
    let next = hull.iter().cycle().skip(1);
    let boxes = hull.iter().zip(next).filter_map(|(from, to)| {
        let along = *to - *from;
        (along.dot(along) > 0.0).then(|| upright_box(&hull, along.y.atan2(along.x)))
    });
    let smallest = boxes.min_by(|(one, _), (other, _)| one.total_cmp(other));
    smallest.map(|(_area, quad)| quad)
}

/// The rectangle turned by an angle around some points, and its area.
fn upright_box(points: &[Point], angle: f64) -> (f64, Quad) {
    use std::f64::consts::FRAC_PI_2;
    // The same rectangle has four angles; the one nearest to level names its sides.
    let angle = angle - (angle / FRAC_PI_2).round() * FRAC_PI_2;
    let (across, down) = (Point::direction(angle), Point::direction(angle).turned());
    let span = |axis: Point| {
        points
            .iter()
            .map(|point| point.dot(axis))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), place| {
                (low.min(place), high.max(place))
            })
    };
    let ((left, right), (top, bottom)) = (span(across), span(down));
    let corner = |u: f64, v: f64| across * u + down * v;
    let quad = Quad([
        corner(left, top),
        corner(right, top),
        corner(right, bottom),
        corner(left, bottom),
    ]);
    ((right - left) * (bottom - top), quad)
}

/// Andrew's monotone chain.
fn convex_hull(points: &[Point]) -> Vec<Point> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    let mut hull = half_hull(sorted.iter().copied());
    hull.extend(half_hull(sorted.iter().rev().copied()));
    hull
}

fn half_hull(points: impl Iterator<Item = Point>) -> Vec<Point> {
    let mut half: Vec<Point> = Vec::new();
    for point in points {
        while let [.., before, last] = half.as_slice() {
            if (*last - *before).cross(point - *before) > 0.0 {
                break;
            }
            half.pop();
        }
        half.push(point);
    }
    // The last point begins the other half.
    half.pop();
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_rectangle_is_the_turned_one() {
        let (across, down) = (Point::direction(0.2), Point::direction(0.2).turned());
        let corners =
            [(0.0, 0.0), (35.0, 0.0), (35.0, 45.0), (0.0, 45.0)].map(|(u, v)| across * u + down * v);
        let mut points = corners.to_vec();
        points.push(corners[0].towards(corners[2], 0.4));
        let quad = smallest_rectangle(&points).unwrap();
        assert!((quad.width() - 35.0).abs() < 1e-9);
        assert!((quad.height() - 45.0).abs() < 1e-9);
        assert!((quad.tilt() - 0.2).abs() < 1e-9);
        assert!(
            quad.0
                .iter()
                .zip(corners)
                .all(|(found, truth)| found.distance(truth) < 1e-9)
        );
        assert!(quad.holds(points[4], 0.0));
        assert!(!quad.holds(Point::new(-5.0, -5.0), 1.0));
    }

    #[test]
    fn a_line_of_points_has_no_rectangle() {
        let points = [Point::new(1.0, 1.0), Point::new(2.0, 2.0), Point::new(3.0, 3.0)];
        assert!(smallest_rectangle(&points).is_none());
        assert!(smallest_rectangle(&[]).is_none());
    }
}
