package pocketgan.measure

import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.Paths
import pocketgan.bundle.mustHoldFilesOf
import pocketgan.bundle.openSessionBundle
import pocketgan.schema.Job
import pocketgan.schema.Memory

/** A runtime may take more for a second run than for the first. */
private const val RUNS_BEFORE_MEMORY = 2
private const val BYTES_PER_KB = 1024L

/**
 * What the process of a [MemoryPass] does, and nothing else before: starts the runtime, loads the model and runs it.
 *
 * @param path the unpacked bundle that [job] is about.
 * @return null where the system does not tell a process its peak.
 * @throws RefusedException as [Engine.load]; whatever else the runtime throws comes too.
 */
fun measureMemory(path: Path, job: Job, engines: List<Engine>): Memory? =
    openSessionBundle(path, job.bundle).use { bundle ->
        val entry = bundle.entry(job.entry)
        mustHoldFilesOf(bundle, entry, job.component, job.concept)
        val engine = engines.engineOf(entry)
        engine.start()
        val runtimeBytes = peakResidentBytes() ?: return null
        val plan = planModel(bundle, entry, job)
        val inputs = plan.inputs.associate { it.spec.name to it.golden.cast(it.spec.dtype) }
        engine.load(ModelRequest(plan, job)).use { model -> repeat(1 + RUNS_BEFORE_MEMORY) { model.run(inputs) } }
        Memory(runtimeBytes, peakResidentBytes() ?: return null)
    }

/** Peak resident memory of this process so far, as Linux counts it for the runners of other languages too. */
private fun peakResidentBytes(): Long? {
    val status = Paths.get("/proc/self/status").takeIf { Files.isReadable(it) } ?: return null
    val line = Files.readAllLines(status).firstOrNull { it.startsWith("VmHWM:") } ?: return null
    return line.split(Regex("\\s+"))[1].toLong() * BYTES_PER_KB
}
