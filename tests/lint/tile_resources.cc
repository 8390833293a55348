// What ptxas does not say of the fused kernels, one JSON object a line: how many threads and how much dynamic shared
// memory a block of each takes, and how many blocks a plan counts on having on a multiprocessor with as much shared
// memory as the argument says, in bytes. For ptxas_gate.py.
#include <cstdio>
#include <cstdlib>

#include "kernels/cuda/fused_tiles.h"
#include "kernels/cuda/residency.h"

int main(int argc, char** argv) {
  using flashcore::cuda::FusedTile;
  using flashcore::cuda::TileConfig;
  using flashcore::cuda::TileKind;
  const int64_t shared_bytes_per_sm = argc == 2 ? std::atoll(argv[1]) : 0;
  for (const int head_dim : flashcore::cuda::kNativeHeadDims) {
    for (int kind = 0; kind < flashcore::cuda::kTileKinds; ++kind) {
      const TileConfig tile = FusedTile(head_dim, static_cast<TileKind>(kind));
      std::printf(R"({"kernel": "FusedTileTag<%d, \\(flashcore::cuda::TileKind\\)%d>", "threads": %d, )"
                  R"("dynamic_shared_bytes": %d, "blocks_per_sm": %d})"
                  "\n",
                  head_dim, kind, tile.Threads(), tile.SharedBytes(),
                  flashcore::cuda::ResidentCtas(tile, shared_bytes_per_sm));
    }
  }
}
