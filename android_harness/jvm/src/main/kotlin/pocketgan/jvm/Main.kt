package pocketgan.jvm

import java.nio.file.Path
import java.nio.file.Paths
import java.util.UUID
import kotlin.system.exitProcess
import pocketgan.measure.Measurement
import pocketgan.measure.NanoClock
import pocketgan.onnxruntime.OnnxRuntimeEngine
import pocketgan.session.SessionFolder
import pocketgan.session.SessionRun

private const val USAGE = "usage: session FOLDER [DEVICE.json] | judge"

/**
 * `session FOLDER`: carry out what the folder's session.json asks; exit code 1 where results.jsonl ends with an error.
 * DEVICE.json (a DeviceInfo) is the device that this JVM stands for. `judge`: see Judge.kt. `memory`: see
 * ChildMemoryPass.kt.
 */
fun main(arguments: Array<String>) {
    when {
        arguments.contentEquals(arrayOf("judge")) -> judge()
        arguments.contentEquals(arrayOf("memory")) -> {
            answerMemory(System.`in`.bufferedReader().readText(), listOf(OnnxRuntimeEngine()))
        }
        arguments.size in 2..3 && arguments[0] == "session" -> {
            if (!carryOut(Paths.get(arguments[1]), arguments.getOrNull(2)?.let { Paths.get(it) })) exitProcess(1)
        }
        else -> {
            System.err.println(USAGE)
            exitProcess(2)
        }
    }
}

private fun carryOut(folder: Path, device: Path?): Boolean {
    val clock = NanoClock(System::nanoTime)
    val surroundings = JvmSurroundings(clock, device)
    return SessionRun(SessionFolder(folder), clock) { session, progress ->
        Measurement(
            session = session,
            process = "${UUID.randomUUID()}",
            engines = listOf(OnnxRuntimeEngine()),
            surroundings = surroundings,
            clock = clock,
            memory = ChildMemoryPass(),
            progress = progress,
        )
    }.carryOut() == null
}
