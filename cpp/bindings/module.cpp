// The Python module `_swathpack_core`: checks and converts arguments, releases the GIL, calls the core, and
// turns refusals into the classes of codec/errors.py. What each function means stands in _swathpack_core.pyi.
//
// Arrays are taken as they are, never converted: a hidden copy would turn an `out` argument into a lost
// result. While the GIL is released the caller must not change arrays he has passed in.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <string>
#include <vector>

#include "swathpack/batch.h"
#include "swathpack/checksum.h"
#include "swathpack/isa.h"
#include "swathpack/record_header.h"
#include "swathpack/records.h"
#include "swathpack/reed_solomon.h"
#include "swathpack/scan.h"
#include "swathpack/tables.h"

namespace py = pybind11;
namespace sp = swathpack;

namespace {

const char* class_name(sp::ErrorKind kind) {
  switch (kind) {
    case sp::ErrorKind::kTruncated:
      return "Truncated";
    case sp::ErrorKind::kCorrupt:
      return "Corrupt";
    case sp::ErrorKind::kUnsupported:
      return "UnsupportedVersion";
    case sp::ErrorKind::kLimit:
      return "LimitExceeded";
    case sp::ErrorKind::kBadInput:
      return "InputError";
  }
  return "InternalError";
}

// codec.errors is imported here and not earlier, so that the module itself loads without the package.
[[noreturn]] void raise(const sp::Error& error, py::object record = py::none(), const char* name = nullptr) {
  const py::object cls = py::module_::import("codec.errors").attr(name ? name : class_name(error.kind));
  const auto text = [](const std::string& s) {
    return s.empty() ? py::object(py::none()) : py::object(py::str(s));
  };
  py::object offset = py::none();
  if (error.offset) offset = py::int_(*error.offset);
  const py::object instance = cls(error.what, py::arg("offset") = offset, py::arg("record") = record,
                                  py::arg("expected") = text(error.expected),
                                  py::arg("found") = text(error.found), py::arg("fix") = text(error.fix));
  PyErr_SetObject(cls.ptr(), instance.ptr());
  throw py::error_already_set();
}

[[noreturn]] void raise_bad(std::string what, std::string expected = {}, std::string found = {}) {
  raise(sp::Error{sp::ErrorKind::kBadInput, std::move(what), std::nullopt, std::move(expected),
                  std::move(found)});
}

void raise_if(const sp::MaybeError& error) {
  if (error) raise(*error);
}

// Any object with a contiguous buffer, held while it is read.
class Bytes {
 public:
  explicit Bytes(py::handle object) : view_(std::make_unique<Py_buffer>()) {
    if (PyObject_GetBuffer(object.ptr(), view_.get(), PyBUF_SIMPLE) != 0) {
      view_.reset();
      throw py::error_already_set();
    }
  }
  Bytes(Bytes&&) = default;
  ~Bytes() {
    if (view_) PyBuffer_Release(view_.get());
  }
  [[nodiscard]] std::span<const uint8_t> span() const {
    return {static_cast<const uint8_t*>(view_->buf), static_cast<size_t>(view_->len)};
  }

 private:
  std::unique_ptr<Py_buffer> view_;
};

std::string describe(const py::array& array) {
  std::string shape;
  for (py::ssize_t i = 0; i < array.ndim(); ++i) shape += (i ? "×" : "") + std::to_string(array.shape(i));
  return std::string(py::str(array.dtype())) + " " + shape +
         (array.flags() & py::array::c_style ? "" : ", not C-contiguous");
}

using Kinds = std::vector<std::pair<char, py::ssize_t>>;

// A C-contiguous array of one of the dtypes (NumPy kind character and item size), shape −1 = any.
struct ArrayRule {
  const char* name;
  const char* dtypes;  // for the message
  Kinds kinds;
  std::vector<py::ssize_t> shape;
  bool writeable = false;
};

py::array check_array(const py::object& object, const ArrayRule& rule) {
  std::string expected = rule.dtypes;
  for (size_t i = 0; i < rule.shape.size(); ++i) {
    expected += (i ? "×" : " ") + (rule.shape[i] < 0 ? std::string("any") : std::to_string(rule.shape[i]));
  }
  expected += rule.writeable ? ", C-contiguous, writeable" : ", C-contiguous";
  if (!py::isinstance<py::array>(object)) {
    raise_bad(std::string(rule.name) + " is not a NumPy array", expected,
              std::string(py::str(py::type::of(object))));
  }
  py::array array = py::reinterpret_borrow<py::array>(object);
  bool ok = (array.flags() & py::array::c_style) != 0 &&
            array.ndim() == static_cast<py::ssize_t>(rule.shape.size());
  for (size_t i = 0; ok && i < rule.shape.size(); ++i) {
    ok = rule.shape[i] < 0 || array.shape(static_cast<py::ssize_t>(i)) == rule.shape[i];
  }
  bool known_type = false;
  for (const auto& [kind, size] : rule.kinds)
    known_type |= array.dtype().kind() == kind && array.itemsize() == size;
  const bool native = array.dtype().attr("isnative").cast<bool>();
  if (!ok || !known_type || !native)
    raise_bad(std::string(rule.name) + " has the wrong type or shape", expected, describe(array));
  if (rule.writeable && !array.writeable())
    raise_bad(std::string(rule.name) + " is read-only", expected, describe(array));
  return array;
}

const Kinds kSymbolKinds = {{'i', 1}, {'i', 2}};
const Kinds kSourceKinds = {{'i', 1}, {'i', 2}, {'f', 4}};
const Kinds kTargetKinds = {{'i', 1}, {'i', 2}, {'f', 2}, {'f', 4}};
const Kinds kMaskKinds = {{'b', 1}, {'u', 1}};

sp::ElementType element_type(const py::array& a) {
  if (a.dtype().kind() == 'f')
    return a.itemsize() == 2 ? sp::ElementType::kFloat16 : sp::ElementType::kFloat32;
  return a.itemsize() == 1 ? sp::ElementType::kInt8 : sp::ElementType::kInt16;
}

sp::Order order_of(const std::string& name) {
  if (name == "tile") return sp::Order::kTile;
  if (name != "token") raise_bad("an order is not known", "\"tile\" (N×C×F) or \"token\" (N×F×C)", name);
  return sp::Order::kToken;
}

// The shape of all coefficients of a plane; −1: any number of tiles.
std::vector<py::ssize_t> shape_of(py::ssize_t tiles, const sp::Plane& plane, sp::Order order) {
  const auto channels = static_cast<py::ssize_t>(plane.channels),
             tokens = static_cast<py::ssize_t>(plane.n_frequencies());
  if (order == sp::Order::kTile) return {tiles, channels, tokens};
  return {tiles, tokens, channels};
}

unsigned thread_count(int64_t threads) {
  if (threads < 1 || threads > 1024) raise_bad("threads are 1 to 1024", "", std::to_string(threads));
  return static_cast<unsigned>(threads);
}

std::span<const uint8_t> as_bytes(const py::array& a) {
  return {static_cast<const uint8_t*>(a.data()), static_cast<size_t>(a.nbytes())};
}
std::span<uint8_t> as_writeable_bytes(py::array& a) {
  return {static_cast<uint8_t*>(a.mutable_data()), static_cast<size_t>(a.nbytes())};
}

py::bytes to_bytes(std::span<const uint8_t> data) {
  return py::bytes(reinterpret_cast<const char*>(data.data()), data.size());
}

const sp::Plane& plane_of(const sp::TableSet& tables, unsigned plane) {
  if (plane >= tables.planes().size()) {
    raise_bad("the tables have no such plane", "below " + std::to_string(tables.planes().size()),
              std::to_string(plane));
  }
  return tables.planes()[plane];
}

const sp::Table& table_of(const sp::TableSet& tables, unsigned level) {
  if (level >= tables.tables().size()) {
    raise_bad("there is no such level", "below " + std::to_string(tables.tables().size()),
              std::to_string(level));
  }
  return tables.tables()[level];
}

template <class T>
py::array_t<T> grid(const std::vector<T>& values, std::vector<py::ssize_t> shape) {
  return py::array_t<T>(std::move(shape), values.data());
}

py::dict plane_dict(const sp::TableSet& tables, unsigned index) {
  const sp::Plane& p = plane_of(tables, index);
  const auto n_bands = static_cast<py::ssize_t>(p.n_bands), n_channels = static_cast<py::ssize_t>(p.channels);
  py::dict d;
  d["rows"] = p.rows;
  d["cols"] = p.cols;
  d["channels"] = p.channels;
  d["n_layers"] = p.n_layers;
  d["n_bands"] = p.n_bands;
  d["kind"] = p.kind;
  d["bands"] = grid(p.band_of_frequency, {static_cast<py::ssize_t>(p.n_frequencies())});
  d["layer_map"] = grid(p.layer_map, {n_bands, n_channels});
  d["class_map"] = grid(p.class_map, {n_bands, n_channels});
  d["layer_shift"] = grid(p.layer_shift, {static_cast<py::ssize_t>(p.n_layers)});
  return d;
}

// B × C levels at q, −1 where nothing is ever sent.
py::array_t<int16_t> levels(const sp::TableSet& tables, unsigned index, int q) {
  const sp::Plane& p = plane_of(tables, index);
  py::array_t<int16_t> out({static_cast<py::ssize_t>(p.n_bands), static_cast<py::ssize_t>(p.channels)});
  int16_t* cell = out.mutable_data();
  for (size_t i = 0; i < p.layer_map.size(); ++i) {
    const unsigned layer = p.layer_map[i];
    if (layer == sp::kNeverSent) {
      cell[i] = -1;
      continue;
    }
    const auto e = tables.layer_index(p, layer, q);
    if (!e) {
      raise_bad("the ladder index, or its sum with the shift of layer " + std::to_string(layer) +
                    ", is off the ladder",
                "0 to " + std::to_string(tables.ladder().size() - 1),
                std::to_string(q) + " and " + std::to_string(q + p.layer_shift[layer]));
    }
    cell[i] = static_cast<int16_t>(tables.level(p.class_map[i], *e));
  }
  return out;
}

int level(const sp::TableSet& tables, unsigned index, unsigned band, unsigned channel, int q) {
  const sp::Plane& p = plane_of(tables, index);
  if (band >= p.n_bands || channel >= p.channels) {
    raise_bad("the plane has no such band or channel",
              "below " + std::to_string(p.n_bands) + " and " + std::to_string(p.channels),
              std::to_string(band) + " and " + std::to_string(channel));
  }
  const size_t cell = size_t{band} * p.channels + channel;
  if (p.layer_map[cell] == sp::kNeverSent) return -1;
  const auto e = tables.layer_index(p, p.layer_map[cell], q);
  if (!e)
    raise_bad("the ladder index, or its sum with the layer's shift, is off the ladder", "",
              std::to_string(q));
  return static_cast<int>(tables.level(p.class_map[cell], *e));
}

unsigned ladder_index_of(const sp::TableSet& tables, int64_t ladder_index) {
  if (ladder_index < 0 || ladder_index >= static_cast<int64_t>(tables.ladder().size())) {
    raise_bad("the ladder index is off the ladder", "0 to " + std::to_string(tables.ladder().size() - 1),
              std::to_string(ladder_index));
  }
  return static_cast<unsigned>(ladder_index);
}

py::list encode_records(const sp::TableSet& tables, const py::object& headers_in, int64_t ladder_index,
                        const py::object& symbols_in, const py::object& tile_mask_in,
                        const py::object& token_mask_in, const py::object& doubled_in,
                        const std::string& order_in, int64_t threads_in) {
  const sp::Order order = order_of(order_in);
  const unsigned threads = thread_count(threads_in);
  const py::array headers = check_array(headers_in, {"headers", "uint64", {{'u', 8}}, {-1}});
  const std::span header(static_cast<const uint64_t*>(headers.data()), static_cast<size_t>(headers.shape(0)));
  if (header.empty()) return py::list();

  sp::PlaneContext context;
  context.tables = &tables;
  context.plane = sp::RecordHeader::unpack(header[0]).plane;
  context.ladder_index = ladder_index_of(tables, ladder_index);
  const sp::Plane& plane = plane_of(tables, context.plane);
  const auto n_tokens = static_cast<py::ssize_t>(plane.n_frequencies());
  const py::array symbols = check_array(
      symbols_in, {"symbols", "int8, int16 or float32", kSourceKinds, shape_of(-1, plane, order)});
  const py::ssize_t n_tiles = symbols.shape(0);
  if (n_tiles > sp::kMaxTiles) raise_bad("a file has at most 65536 tiles", "", std::to_string(n_tiles));
  const py::array tile_mask =
      check_array(tile_mask_in, {"tile_mask", "bool or uint8", kMaskKinds, {n_tiles}});
  const py::array token_mask =
      check_array(token_mask_in, {"token_mask", "bool or uint8", kMaskKinds, {n_tiles, n_tokens}});
  const py::array doubled =
      check_array(doubled_in, {"doubled", "bool or uint8", kMaskKinds, {n_tiles, n_tokens}});
  context.n_tiles = static_cast<uint32_t>(n_tiles);
  context.derived = as_bytes(doubled);
  const sp::EncodeSource source{symbols.data(), element_type(symbols), order, as_bytes(tile_mask),
                                as_bytes(token_mask)};

  const auto encoded = [&] {
    const py::gil_scoped_release release;
    return sp::encode_batch(context, source, header, threads);
  }();
  if (const auto* refused = std::get_if<sp::RecordError>(&encoded))
    raise(refused->error, py::int_(refused->record));
  const auto& all = std::get<sp::EncodedRecords>(encoded);
  py::list records;
  for (size_t i = 0; i < header.size(); ++i) records.append(to_bytes(all.record(i)));
  return records;
}

// The plane of a call that names none: that of the first record whose header holds and whose plane has this
// shape.
unsigned find_plane(const sp::TableSet& tables, const std::vector<Bytes>& records, py::ssize_t channels,
                    py::ssize_t tokens) {
  for (const Bytes& record : records) {
    const auto data = record.span();
    if (data.size() < sp::kRecordHeaderBytes || sp::crc8(data.first(7)) != data[7]) continue;
    const auto header = sp::RecordHeader::unpack(data[0]);  // kind and plane are in the first byte
    const unsigned plane = header.plane;
    if (!header.is_coefficients() || plane >= tables.planes().size()) continue;
    const sp::Plane& p = tables.planes()[plane];
    if (p.channels == channels && p.n_frequencies() == tokens) return plane;
  }
  for (unsigned plane = 0; plane < tables.planes().size(); ++plane) {
    const sp::Plane& p = tables.planes()[plane];
    if (p.channels == channels && p.n_frequencies() == tokens) return plane;
  }
  raise_bad("no plane of the tables has the shape of `out`", "",
            std::to_string(channels) + " channels × " + std::to_string(tokens) + " frequencies");
}

py::list decode_records(const sp::TableSet& tables, const py::sequence& records_in, int64_t ladder_index,
                        int64_t n_tiles_in, const py::object& doubled_in, const py::object& out_in,
                        const py::object& token_mask_in, const py::object& layers_in,
                        const py::object& plane_in, const std::string& order_in, int64_t threads_in) {
  const sp::Order order = order_of(order_in);
  const unsigned threads = thread_count(threads_in);
  if (n_tiles_in < 1 || n_tiles_in > sp::kMaxTiles)
    raise_bad("a file has 1 to 65536 tiles", "", std::to_string(n_tiles_in));
  const auto n_tiles = static_cast<py::ssize_t>(n_tiles_in);
  py::array out =
      check_array(out_in, {"out", "int8, int16, float16 or float32", kTargetKinds, {n_tiles, -1, -1}, true});
  const bool by_tile = order == sp::Order::kTile;
  const py::ssize_t n_channels = out.shape(by_tile ? 1 : 2), n_tokens = out.shape(by_tile ? 2 : 1);
  py::array token_mask =
      check_array(token_mask_in, {"out_token_mask", "bool or uint8", kMaskKinds, {n_tiles, n_tokens}, true});
  py::array layers = check_array(layers_in, {"out_layers", "uint16", {{'u', 2}}, {n_tiles}, true});
  const py::array doubled =
      check_array(doubled_in, {"doubled", "bool or uint8", kMaskKinds, {n_tiles, n_tokens}});

  std::vector<Bytes> records;
  records.reserve(records_in.size());
  for (const py::handle record : records_in) records.emplace_back(record);

  sp::PlaneContext context;
  context.tables = &tables;
  if (plane_in.is_none()) {
    context.plane = find_plane(tables, records, n_channels, n_tokens);
  } else {
    const auto wanted = plane_in.cast<int64_t>();
    if (wanted < 0 || wanted > 7)
      raise_bad("the tables have no such plane", "0 to 7", std::to_string(wanted));
    context.plane = static_cast<unsigned>(wanted);
  }
  const sp::Plane& plane = plane_of(tables, context.plane);
  if (plane.channels != n_channels || plane.n_frequencies() != n_tokens) {
    raise_bad("`out` does not have the shape of the plane",
              std::to_string(plane.channels) + " channels × " + std::to_string(plane.n_frequencies()) +
                  " frequencies",
              describe(out));
  }
  context.ladder_index = ladder_index_of(tables, ladder_index);
  context.n_tiles = static_cast<uint32_t>(n_tiles);
  context.derived = as_bytes(doubled);
  const sp::DecodeTarget target{
      out.mutable_data(),
      element_type(out),
      order,
      as_writeable_bytes(token_mask),
      {static_cast<uint16_t*>(layers.mutable_data()), static_cast<size_t>(n_tiles)}};

  std::vector<std::span<const uint8_t>> spans;
  spans.reserve(records.size());
  for (const Bytes& record : records) spans.push_back(record.span());
  const std::vector<sp::MaybeError> outcomes = [&] {
    const py::gil_scoped_release release;
    return sp::decode_batch(context, target, spans, threads);
  }();
  py::list result;
  for (const sp::MaybeError& error : outcomes) {
    if (!error) {
      result.append(py::none());
    } else {
      std::string what = error->what;
      if (!error->expected.empty()) what += " (expected " + error->expected + ", found " + error->found + ")";
      result.append(py::make_tuple(sp::kind_name(error->kind), what, error->offset.value_or(0)));
    }
  }
  return result;
}

py::array_t<uint64_t> tile_costs(const sp::TableSet& tables, unsigned plane_index, unsigned layer, int q,
                                 const py::object& symbols_in, const std::string& order_in) {
  const sp::Order order = order_of(order_in);
  const py::array symbols = check_array(symbols_in, {"symbols", "int8 or int16", kSymbolKinds,
                                                     shape_of(-1, plane_of(tables, plane_index), order)});
  py::array_t<uint64_t> costs(symbols.shape(0));
  const std::span<uint64_t> out(costs.mutable_data(), static_cast<size_t>(costs.size()));
  const sp::ElementType type = element_type(symbols);  // asks Python: not without the GIL
  sp::MaybeError error;
  {
    const py::gil_scoped_release release;
    error = sp::tile_costs(tables, plane_index, layer, q, symbols.data(), type, order, out);
  }
  raise_if(error);
  return costs;
}

py::tuple scan(const py::object& data_in, int64_t offset) {
  const Bytes data(data_in);
  if (offset < 0) raise_bad("the offset is negative", "", std::to_string(offset));
  std::vector<sp::FoundRecord> found;
  {
    const py::gil_scoped_release release;
    found = sp::scan_records(data.span(), static_cast<uint64_t>(offset));
  }
  const auto n = static_cast<py::ssize_t>(found.size());
  py::array_t<int64_t> offsets(n);
  py::array_t<uint64_t> headers(n);
  for (py::ssize_t i = 0; i < n; ++i) {
    offsets.mutable_at(i) = static_cast<int64_t>(found[static_cast<size_t>(i)].offset);
    headers.mutable_at(i) = found[static_cast<size_t>(i)].header;
  }
  return py::make_tuple(offsets, headers);
}

py::array_t<uint8_t> rs_encode(const py::object& source_in, int64_t r) {
  const py::array source = check_array(source_in, {"source", "uint8", {{'u', 1}}, {-1, -1}});
  if (r < 0 || r > sp::kMaxBlockSymbols || source.shape(0) > sp::kMaxBlockSymbols) {
    raise_bad("a block has at least 1 source symbol and at most 255 symbols", "1 ≤ k, k + r ≤ 255",
              "k = " + std::to_string(source.shape(0)) + ", r = " + std::to_string(r));
  }
  py::array_t<uint8_t> repair({static_cast<py::ssize_t>(r), source.shape(1)});
  const auto out = as_writeable_bytes(repair);
  const auto k = static_cast<unsigned>(source.shape(0));
  const auto symbol_size = static_cast<size_t>(source.shape(1));
  sp::MaybeError error;
  {
    const py::gil_scoped_release release;
    error = sp::rs_encode(as_bytes(source), k, static_cast<unsigned>(r), symbol_size, out);
  }
  raise_if(error);
  return repair;
}

py::array_t<uint8_t> rs_decode(const py::object& symbols_in, const py::object& indices_in, int64_t k) {
  const py::array symbols = check_array(symbols_in, {"symbols", "uint8", {{'u', 1}}, {-1, -1}});
  const auto indices = py::array_t<int64_t, py::array::c_style | py::array::forcecast>::ensure(indices_in);
  if (!indices || indices.ndim() != 1 || indices.shape(0) != symbols.shape(0)) {
    PyErr_Clear();
    raise_bad("indices are not one whole number per symbol", std::to_string(symbols.shape(0)) + " indices");
  }
  if (k < 1 || k > sp::kMaxBlockSymbols)
    raise_bad("a block has 1 to 255 source symbols", "", std::to_string(k));
  const auto symbol_size = static_cast<size_t>(symbols.shape(1));
  py::array_t<uint8_t> source({static_cast<py::ssize_t>(k), symbols.shape(1)});
  const auto out = as_writeable_bytes(source);
  const std::span<const int64_t> places(indices.data(), static_cast<size_t>(indices.size()));
  sp::MaybeError error;
  {
    const py::gil_scoped_release release;
    error = sp::rs_decode(as_bytes(symbols), places, static_cast<unsigned>(k), symbol_size, out);
  }
  raise_if(error);
  return source;
}

sp::TableSet parse_tables(const py::object& data_in) {
  const Bytes data(data_in);
  auto parsed = sp::TableSet::parse(data.span());
  if (!parsed.ok()) raise(parsed.error());
  return parsed.take();
}

}  // namespace

PYBIND11_MODULE(_swathpack_core, m) {
  m.doc() = "Swathpack's entropy core, record scanner and erasure code; see _swathpack_core.pyi.";
  if (const auto error = sp::isa_error()) raise(*error, py::none(), "BackendUnavailable");

  m.def("build_id", &sp::build_id);
  m.def("isa", &sp::isa_name);
  m.def("isas", &sp::isa_names);
  m.def("set_isa", [](const std::string& name) { raise_if(sp::set_isa(name)); }, py::arg("name"));
  m.def(
      "crc32c",
      [](const py::object& data_in, uint32_t seed) {
        const Bytes data(data_in);
        const py::gil_scoped_release release;
        return sp::crc32c(data.span(), seed);
      },
      py::arg("data"), py::arg("seed") = 0);
  m.def("crc8", [](const py::object& data) { return sp::crc8(Bytes(data).span()); }, py::arg("data"));

  py::class_<sp::TableSet>(m, "TableSet")
      .def(py::init(&parse_tables), py::arg("data"))
      .def_property_readonly("n_tables", [](const sp::TableSet& t) { return t.tables().size(); })
      .def_property_readonly("n_planes", [](const sp::TableSet& t) { return t.planes().size(); })
      .def_property_readonly("n_ladder", [](const sp::TableSet& t) { return t.ladder().size(); })
      .def_property_readonly("ladder",
                             [](const sp::TableSet& t) {
                               return grid(t.ladder(), {static_cast<py::ssize_t>(t.ladder().size())});
                             })
      .def("plane", &plane_dict, py::arg("plane"))
      .def(
          "points",
          [](const sp::TableSet& t, unsigned l) {
            return py::make_tuple(table_of(t, l).r1, table_of(t, l).r2);
          },
          py::arg("level"))
      .def(
          "theta", [](const sp::TableSet& t, unsigned l) { return table_of(t, l).theta; }, py::arg("level"))
      .def(
          "low_bits", [](const sp::TableSet& t, unsigned l) { return table_of(t, l).low_bits; },
          py::arg("level"))
      .def(
          "thresholds",
          [](const sp::TableSet& t, unsigned l) {
            const sp::Table& table = table_of(t, l);
            py::array_t<uint16_t> out(static_cast<py::ssize_t>(table.n_thresholds));
            for (unsigned k = 0; k < table.n_thresholds; ++k) out.mutable_at(k) = table.range[k + 1].start;
            return out;
          },
          py::arg("level"))
      .def("level", &level, py::arg("plane"), py::arg("band"), py::arg("channel"), py::arg("ladder_index"))
      .def("levels", &levels, py::arg("plane"), py::arg("ladder_index"))
      .def(
          "coded",
          [](const sp::TableSet& t, unsigned plane, unsigned layer, int q) {
            auto n = sp::coded_pairs(t, plane, layer, q);
            if (!n.ok()) raise(n.error());
            return n.value();
          },
          py::arg("plane"), py::arg("layer"), py::arg("ladder_index"));

  m.def("encode_records", &encode_records, py::arg("tables"), py::arg("headers"), py::arg("ladder_index"),
        py::arg("symbols"), py::arg("tile_mask"), py::arg("token_mask"), py::arg("doubled"),
        py::arg("order") = "tile", py::arg("threads") = 1);
  m.def("decode_records", &decode_records, py::arg("tables"), py::arg("records"), py::arg("ladder_index"),
        py::arg("n_tiles"), py::arg("doubled"), py::arg("out"), py::arg("out_token_mask"),
        py::arg("out_layers"), py::arg("plane") = py::none(), py::arg("order") = "tile",
        py::arg("threads") = 1);
  m.def("tile_costs", &tile_costs, py::arg("tables"), py::arg("plane"), py::arg("layer"),
        py::arg("ladder_index"), py::arg("symbols"), py::arg("order") = "tile");
  m.def("scan", &scan, py::arg("data"), py::arg("offset") = 0);
  m.def("rs_encode", &rs_encode, py::arg("source"), py::arg("r"));
  m.def("rs_decode", &rs_decode, py::arg("symbols"), py::arg("indices"), py::arg("k"));
}
