// rankine: trains LoRA adapters and small models, and looks after the files around them.
#include <fmt/core.h>

#include <new>

#include "apps/rankine/command_line.h"
#include "apps/rankine/exit_code.h"
#include "apps/rankine/stop_signals.h"
#include "io/config/problems.h"

namespace {

using namespace rankine;
using namespace rankine::app;

int fail(Console& console, const std::exception& e, int code) {
  console.error(e.what());
  return code;
}

int run_guarded(const ParsedCommand& command, Console& console) {
  try {
    return command.run(console);
  } catch (const config::InvalidRunConfig& e) {
    const std::size_t count = e.problems().size();
    console.error(fmt::format("{} problem{} in the run file\n{}", count, count == 1 ? "" : "s", e.what()));
    return kWrongConfig;
  } catch (const Interrupted& e) {
    return fail(console, e, StopSignals::exit_code());
  } catch (const ConfigError& e) {
    return fail(console, e, kWrongConfig);
  } catch (const DataError& e) {
    return fail(console, e, kBadData);
  } catch (const Diverged& e) {
    return fail(console, e, kDiverged);
  } catch (const OutOfMemory& e) {
    return fail(console, e, kRetryable);
  } catch (const std::bad_alloc&) {
    console.error("the system refused to give more memory");
    return kRetryable;
  } catch (const std::exception& e) {
    return fail(console, e, kBadData);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const ParsedCommand command = parse_command_line(argc, argv);
  if (!command.run) return command.exit_code;
  Console console(command.verbosity);
  return run_guarded(command, console);
}
