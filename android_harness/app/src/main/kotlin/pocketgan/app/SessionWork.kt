package pocketgan.app

import android.content.Context
import android.util.Log
import java.io.IOException
import java.nio.file.Files
import java.nio.file.Path
import java.util.UUID
import pocketgan.app.camera.PhoneCamera
import pocketgan.executorch.ExecuTorchEngine
import pocketgan.measure.Cancellation
import pocketgan.measure.Engine
import pocketgan.measure.Measurement
import pocketgan.measure.NanoClock
import pocketgan.onnxruntime.OnnxRuntimeEngine
import pocketgan.schema.End
import pocketgan.session.ResultsFile
import pocketgan.session.SessionFolder
import pocketgan.session.SessionRun

internal const val LOG_TAG = "pocketgan"

/** A process measures one session after the other; results say by this name that they are of the same one. */
private val PROCESS = "${UUID.randomUUID()}"

/** Every engine of this app. */
internal fun engines(): List<Engine> = listOf(OnnxRuntimeEngine(), ExecuTorchEngine())

/** CLOCK_MONOTONIC on Android, as System.nanoTime is there. */
private val CLOCK = NanoClock(System::nanoTime)

/**
 * Where adb puts sessions: in the app's folder on the shared storage, which no other app sees. Made by the app, before
 * adb writes there: only then may the app write beside what adb made.
 *
 * @return null if the storage is not there.
 */
internal fun sessionsFolder(context: Context): Path? =
    context.getExternalFilesDir(null)?.resolve("sessions")?.apply { mkdirs() }?.toPath()

/** The folder of the session of that name; null if it is no name of a folder, or there is none. */
internal fun sessionFolder(context: Context, name: String): Path? =
    sessionPath(context, name)?.takeIf { Files.isDirectory(it) }

/** Where the session of that name belongs; null if it is no name of a folder, or the storage is not there. */
internal fun sessionPath(context: Context, name: String): Path? {
    if (name.isEmpty() || name.startsWith(".") || '/' in name || '\u0000' in name) return null
    return sessionsFolder(context)?.resolve(name)
}

/** Carries out a session, on the thread that calls. Its results lie beside it; how it ended, if early, in one line. */
internal fun carryOut(context: Context, folder: Path, name: String, cancellation: Cancellation): String? {
    val session = SessionFolder(folder)
    val failure = try {
        val surroundings = PhoneSurroundings(context, CLOCK)
        return SessionRun(session, CLOCK) { title, progress ->
            Measurement(
                session = title,
                process = PROCESS,
                engines = engines(),
                surroundings = surroundings,
                clock = CLOCK,
                memory = MemoryProcess(context),
                cancellation = cancellation,
                camera = PhoneCamera(context),
                progress = { detail, done ->
                    progress(detail, done)
                    Harness.progress(name, detail, done)
                },
            )
        }.carryOut()
    } catch (problem: IOException) {
        "${problem.message}"
    } catch (problem: RuntimeException) {
        "$problem"
    } catch (problem: LinkageError) {
        // The libraries of this APK are not for this phone.
        "$problem"
    }
    Log.e(LOG_TAG, "session $name: $failure")
    sayEnd(session, failure)
    return failure
}

/** So that nobody waits for more. A full phone cannot even say that; the host then sees the beats end. */
private fun sayEnd(session: SessionFolder, error: String?) {
    try {
        ResultsFile(session.results).use { it.end(End(error = error)) }
    } catch (problem: IOException) {
        Log.e(LOG_TAG, "the end of its results could not be written: ${problem.message}")
    }
}
