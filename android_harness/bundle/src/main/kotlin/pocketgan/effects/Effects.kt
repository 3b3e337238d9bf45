package pocketgan.effects

import android.content.Context
import android.os.Build
import android.os.Looper
import java.io.File
import java.io.IOException
import java.nio.file.Files
import java.nio.file.Path
import pocketgan.bundle.Bundle
import pocketgan.bundle.BundleException
import pocketgan.measure.Engine
import pocketgan.measure.NanoClock

/** How many replaced bundles are remembered as older. */
private const val MOST_REPLACED = 100

/**
 * The effects of an app, each a bundle under a name of the app's own. Their files lie in the app's private folder that
 * is never backed up. Calls take up to seconds and are refused on the main thread; any other thread will do.
 *
 * @param engines what the app has libraries for, such as `OnnxRuntimeEngine()`.
 */
class Effects internal constructor(
    context: Context,
    private val engines: List<Engine>,
    private val options: EffectOptions,
    private val clock: NanoClock,
) {
    constructor(context: Context, engines: List<Engine>, options: EffectOptions) :
        this(context, engines, options, NanoClock(System::nanoTime))

    private val root = File(context.noBackupFilesDir, "pocketgan")
    private val phone = "${Build.FINGERPRINT}, app ${appVersion(context)}"
    private val runtimes = engines.map { it.name }.toSet()

    /**
     * The effect of that name, ready to run: of the bundle in [source], which is verified and installed where it is
     * new; of the one that ran last where that is not possible, and [Effect.refused] says why.
     *
     * The first time on this phone, after an update of Android or of the app, and with a new bundle all entries are
     * measured for two seconds, and the fastest is remembered.
     *
     * @param source null for the one that is installed.
     * @throws EffectException neither can be used.
     */
    @JvmOverloads
    @Throws(EffectException::class)
    fun open(name: String, source: BundleSource? = null): Effect {
        if (Looper.getMainLooper().isCurrentThread) {
            throw IllegalStateException("Effects.open takes up to seconds: call it on another thread than the main one")
        }
        val slot = Slot(root, name)
        return stored(name) { slot.exclusively { open(slot, source) } }
    }

    /** Forget how fast its entries are and which ones ended the app: the next [open] measures again. */
    fun forget(name: String) {
        val slot = Slot(root, name)
        slot.exclusively { slot.installed.read()?.let { slot.choice(it.digest).delete() } }
    }

    /** Remove its files. Effects that are open go on. */
    fun remove(name: String) {
        val slot = Slot(root, name)
        slot.exclusively { slot.remove() }
    }

    private fun open(slot: Slot, source: BundleSource?): Effect {
        val before = slot.installed.read()
        slot.sweep(before?.digest)
        if (source == null || (before?.source != null && before.source == source.stamp)) {
            if (before == null) throw EffectException("no effect ${slot.name} is installed; give its bundle")
            return last(slot, before)
        }
        val problem = try {
            return new(slot, source, before)
        } catch (problem: EffectException) {
            problem
        }
        if (before == null) throw problem
        return last(slot, before, problem)
    }

    /** Install what [source] holds. It counts as installed once one of its entries runs. */
    private fun new(slot: Slot, source: BundleSource, before: Installed?): Effect {
        val digest = unpack(source, slot, runtimes) { mustBeWanted(it, before) }
        return opened(slot, digest) { bundle ->
            val chosen = choose(slot, bundle)
            val replaced = before?.run { (replaced + this.digest) - digest }.orEmpty().takeLast(MOST_REPLACED)
            slot.installed.write(Installed(digest, source.stamp, stamps(bundle.path), replaced))
            slot.sweep(digest)
            Effect(slot.name, bundle.digest, chosen, null)
        }
    }

    /** The bundle that ran last. */
    private fun last(slot: Slot, installed: Installed, refused: EffectException? = null): Effect =
        opened(slot, installed.digest) { bundle ->
            val now = stamps(bundle.path)
            if (now != installed.files) {
                mustBeSound(bundle.path, bundle.digest, runtimes)
                slot.installed.write(installed.copy(files = now))
            }
            Effect(slot.name, bundle.digest, choose(slot, bundle), refused)
        }

    private fun choose(slot: Slot, bundle: Bundle): Chosen =
        Choosing(slot, bundle, engines, options.threads, phone, clock).choose()

    private fun mustBeWanted(bundle: Bundle, before: Installed?) {
        mustBeTrusted(bundle, options)
        if (!options.allowOlder && bundle.digest in before?.replaced.orEmpty()) {
            val name = bundle.manifest.name
            throw NotTrustedException("bundle $name is older than the installed one, which replaced it")
        }
    }

    private fun opened(slot: Slot, digest: String, use: (Bundle) -> Effect): Effect =
        open(slot.bundle(digest), digest, options).use(use)

    private fun <T> stored(name: String, work: () -> T): T =
        try {
            work()
        } catch (problem: BundleException) {
            throw EffectException("effect $name: ${problem.message}", problem)
        } catch (problem: IOException) {
            throw EffectException("effect $name: cannot be stored: ${problem.message ?: problem}", problem)
        }
}

/** Size and times of each file: what changes when its content does, unless someone sets it back. */
private fun stamps(folder: Path): Map<String, String> =
    Files.walk(folder).use { all ->
        all.iterator().asSequence().filter { Files.isRegularFile(it) }.associate {
            "${folder.relativize(it)}" to "${Files.size(it)} ${Files.getLastModifiedTime(it).toMillis()}"
        }
    }
