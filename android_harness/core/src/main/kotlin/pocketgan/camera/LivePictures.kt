package pocketgan.camera

import pocketgan.bundle.Layout
import pocketgan.bundle.TensorSpec
import pocketgan.measure.NanoClock
import pocketgan.measure.PictureConverter
import pocketgan.measure.RefusedException
import pocketgan.measure.Tensor
import pocketgan.measure.TensorPlan
import pocketgan.measure.TimedModel
import pocketgan.measure.isPixels
import pocketgan.measure.needsConversion
import pocketgan.schema.Frame

/**
 * A model whose input is a camera's picture, and whose output is one that a screen shows. Its other inputs keep the
 * golden values.
 */
internal class LivePictures private constructor(
    private val model: TimedModel,
    private val clock: NanoClock,
    private val input: TensorPlan,
    private val output: Int,
) {
    private val inputConverter = input.spec.takeIf(::needsConversion)?.let { PictureConverter(it) }
    private val outputSpec = model.plan.outputs[output].spec
    private val outputConverter = outputSpec.takeIf(::needsConversion)?.let { PictureConverter(it) }
    private val tensor = Tensor.zeros(input.spec.dtype, input.golden.shape)
    private val taken = ByteArray(3 * widthOf(input.spec) * heightOf(input.spec))

    /** Of the pictures that it takes. */
    val width = widthOf(input.spec)
    val height = heightOf(input.spec)

    /** Of the pictures that it makes. */
    val madeWidth = widthOf(outputSpec)
    val madeHeight = heightOf(outputSpec)

    /** The picture that the last [frame] made: (madeHeight, madeWidth, 3) bytes of RGB. */
    val made = ByteArray(3 * madeWidth * madeHeight)

    /** One edit of a camera's frame, from its planes to [made]; it begins at [startedNs]. */
    fun frame(camera: CameraFrame, startedNs: Long): Frame {
        camera.copyTo(taken)
        if (inputConverter != null) inputConverter.toTensor(taken, tensor.data.asFloatBuffer())
        else tensor.data.duplicate().put(taken)
        val filled = clock.now()
        model.infer(input.spec.name, tensor)
        val inferred = clock.now()
        val told = model.outputs[output].data
        if (outputConverter != null) outputConverter.toPicture(told.asFloatBuffer(), made)
        else told.duplicate().get(made)
        val ended = clock.now()
        return Frame(
            startedNs, filled - startedNs, inferred - filled, ended - inferred, round = 0,
            captureNs = camera.captureNs,
        )
    }

    companion object {
        /** @throws RefusedException it takes or gives no picture. */
        fun of(model: TimedModel, clock: NanoClock): LivePictures {
            val input = model.plan.inputs.firstOrNull { isPicture(it.spec) }
            val output = model.plan.outputs.indexOfFirst { isPicture(it.spec) }
            if (input == null || output < 0) {
                throw RefusedException(
                    "mode camera needs an entry that takes one picture and gives one, in float32 NCHW or in pixels; " +
                        "export it for images (--io tensor or image)",
                )
            }
            return LivePictures(model, clock, input, output)
        }

        private fun isPicture(spec: TensorSpec) = needsConversion(spec) || isPixels(spec)

        private fun heightOf(spec: TensorSpec) = Math.toIntExact(spec.shape[if (spec.layout == Layout.NCHW) 2 else 1])

        private fun widthOf(spec: TensorSpec) = Math.toIntExact(spec.shape[if (spec.layout == Layout.NCHW) 3 else 2])
    }
}
