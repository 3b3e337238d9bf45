package pocketgan.effects

import android.graphics.Bitmap
import java.io.Closeable

/** One of the effects of a pack: its [name], and the [text] that one would say to get it. */
class EffectConcept internal constructor(val name: String, val text: String)

/**
 * An effect that is ready to run. Runs may come from any thread and take turns; a run takes as long as the model, so
 * that an app seldom wants it on the main thread. What was made lies in memory when it returns.
 *
 * @property name the app's own name of it.
 * @property digest the bundle's identity: SHA-256 of its manifest, in hex.
 * @property concepts what the bundle can draw, where it is a pack; else none.
 * @property refused why the bundle that [Effects.open] was given is not the one that runs; null where it is.
 */
class Effect internal constructor(
    val name: String,
    val digest: String,
    val concepts: List<EffectConcept>,
    private val chosen: Chosen,
    concept: String?,
    val refused: EffectException?,
    private val redraw: (String) -> PictureModel,
) : Closeable {
    private val lock = Any()
    private val switching = Any()
    private var model = chosen.model
    private val made = chosen.model.newOutput()
    private val conversion = YuvConversion(chosen.model.height, chosen.model.width)
    private var isClosed = false

    /** What it draws now; null where the bundle is no pack. */
    @Volatile
    var concept: String? = concept
        private set

    /** The entry and provider that run, the fastest of this phone. */
    val entry: String get() = chosen.candidate.name

    /** Median nanoseconds of a frame by entry, the fastest first; null where there was only one. */
    val medianNs: Map<String, Long?> get() = chosen.choice.medianNs

    /** Why other entries of the bundle cannot be used here, by their names. */
    val leftOut: Map<String, String> get() = chosen.choice.leftOut

    /** Pixels that the model takes. */
    val inputWidth: Int get() = chosen.model.width
    val inputHeight: Int get() = chosen.model.height

    /** Pixels that the model makes. */
    val outputWidth: Int get() = made.width
    val outputHeight: Int get() = made.height

    /**
     * The effect on a whole picture, in its size and proportions. As in `pocketgan apply`, the picture is scaled to fit
     * into the model's input, padded by reflection, and all of it is undone behind. Transparency becomes white.
     *
     * @throws EffectException the bitmap cannot be read, or the engine failed.
     */
    @Throws(EffectException::class)
    fun run(picture: Bitmap): Bitmap {
        val bitmap = Bitmap.createBitmap(picture.width, picture.height, Bitmap.Config.ARGB_8888)
        run(picture, bitmap)
        return bitmap
    }

    /**
     * The same into a bitmap of the app's own, of any size: mutable, ARGB_8888.
     *
     * @throws EffectException a bitmap cannot be used, or the engine failed.
     */
    @Throws(EffectException::class)
    fun run(picture: Bitmap, into: Bitmap) {
        mustTakePixels(into)
        val pixels = pixelsOf(picture)
        val fit = Fit(pixels.height, pixels.width, inputHeight, inputWidth)
        val result = alone {
            infer(fit.enter(pixels))
            fit.leave(made, into.height, into.width)
        }
        draw(result, into)
    }

    /**
     * The effect on the middle of a camera's frame, turned upright, in the model's proportions; scaled into [into].
     *
     * @throws EffectException the frame or the bitmap cannot be used, or the engine failed.
     */
    @Throws(EffectException::class)
    fun run(frame: YuvFrame, into: Bitmap) {
        mustTakePixels(into)
        val result = alone {
            infer(conversion.toPixels(frame))
            scaled(made, into.height, into.width)
        }
        draw(result, into)
    }

    /**
     * Draw another concept from the next run on, by the same entry. Runs go on meanwhile with the last one, which stays if
     * the other cannot be drawn. Not for the main thread: a model is loaded, and the first time it must give its golden
     * output; nothing is measured. What the concepts share stays: the choice, the files and their hashes, and what a patch
     * made once.
     *
     * @throws EffectException the bundle has no such concept, or this entry cannot draw it.
     */
    @Throws(EffectException::class)
    fun switchTo(concept: String) = synchronized(switching) {
        if (concept == this.concept) return@synchronized
        val next = redraw(concept)
        val last = synchronized(lock) {
            if (isClosed) next else model.also {
                model = next
                this.concept = concept
            }
        }
        last.close()
        if (last === next) throw EffectException("effect $name is closed")
    }

    /** Ends it, after the run that is under way. Closing twice is nothing. */
    override fun close() = synchronized(lock) {
        if (isClosed) return
        isClosed = true
        model.close()
    }

    private fun infer(picture: Pixels) = attempt({ model.run(picture, made) }) {
        if (it is EffectException) throw it
        val line = it.message.orEmpty().trim().lineSequence().first()
        throw EffectException("effect $name: $entry failed: ${it.javaClass.simpleName} $line".trim(), it)
    }

    private inline fun <T> alone(work: () -> T): T = synchronized(lock) {
        if (isClosed) throw EffectException("effect $name is closed")
        work()
    }

    private fun mustTakePixels(bitmap: Bitmap) {
        if (bitmap.isRecycled || !bitmap.isMutable || bitmap.config != Bitmap.Config.ARGB_8888) {
            throw EffectException("a result needs a bitmap that is mutable, ARGB_8888 and not recycled")
        }
    }
}
