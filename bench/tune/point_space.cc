#include "bench/tune/point_space.h"

#include <cassert>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace flashcore::bench {

Space SpaceOf(const std::vector<std::string>& names, const std::vector<Point>& points) {
  Space space;
  for (size_t i = 0; i < names.size(); ++i) {
    std::set<int> values;
    for (const Point& point : points) {
      assert(point.size() == names.size());
      values.insert(point[i]);
    }
    space.dimensions.push_back({names[i], {values.begin(), values.end()}});
  }
  space.valid = [known = std::set<Point>(points.begin(), points.end())](const Point& point) {
    return known.find(point) != known.end();
  };
  return space;
}

Space WithDimension(Space space, Dimension dimension) {
  space.dimensions.push_back(std::move(dimension));
  if (space.valid) {
    space.valid = [valid = std::move(space.valid)](const Point& point) {
      return valid(Point(point.begin(), point.end() - 1));
    };
  }
  return space;
}

}  // namespace flashcore::bench
